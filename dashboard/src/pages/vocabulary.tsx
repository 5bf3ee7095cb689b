import type { ProposalEntry, VersionEntry, VocabularyAnswer } from "../api/types";
import { useResource } from "../api/use";
import { count, date, plural } from "../format";
import { Bar, Card, Empty, Failure, Loading, Pill, Short, Stat, Stats, type Tone } from "../parts/basics";
import { Heading } from "../parts/shell";
import { type Column, Table } from "../parts/table";

const TONES: Record<string, Tone> = {
  pending: "plain",
  active: "accent",
  succeeded: "good",
  queued: "good",
  executed: "good",
  defeated: "bad",
};
const NAMES: Record<string, string> = {
  pending: "in discussion",
  active: "vote open",
  succeeded: "passed",
  queued: "in grace",
  executed: "activated",
};

export function VocabularyPage() {
  const { data, error } = useResource<VocabularyAnswer>("/dashboard/api/v1/vocabulary", 4);
  return (
    <>
      <Heading title="Vocabulary">
        Holders of stake vote new tokens into the model's vocabulary, and back out of it. All began with the
        256 bytes.
      </Heading>
      {error && <Failure error={error} kept={data !== undefined} />}
      {!data && !error && (
        <Card>
          <Loading lines={5} />
        </Card>
      )}
      {data && <Everything answer={data} />}
    </>
  );
}

function Everything({ answer }: { answer: VocabularyAnswer }) {
  const current = answer.versions.find((version) => version.number === answer.current);
  const open = answer.proposals.filter((one) =>
    ["pending", "active", "succeeded", "queued"].includes(one.state),
  );
  return (
    <div class="grid">
      <Card title="Now" class="half">
        <Stats>
          <Stat
            label="Version"
            value={answer.current}
            hint={answer.target === answer.current ? "the one in force" : `on the way to ${answer.target}`}
          />
          <Stat
            label="Tokens"
            value={current ? count(current.rows) : "–"}
            hint="rows of embedding and head"
          />
          <Stat label="Open proposals" value={open.length} />
        </Stats>
      </Card>
      <Card title="Versions" class="half">
        <Table label="Versions" columns={VERSIONS} rows={answer.versions} id={(row) => row.number} />
      </Card>
      <Card title="Proposals" note={plural(answer.proposals.length, "proposal")}>
        {answer.proposals.length === 0 ? (
          <Empty title="Nobody has proposed a token yet">
            <code>ponw vocab propose --suggest 50 --dry-run</code> shows what would be worth one.
          </Empty>
        ) : (
          answer.proposals.map((one) => <Proposal key={one.id} one={one} />)
        )}
      </Card>
    </div>
  );
}

const VERSIONS: readonly Column<VersionEntry>[] = [
  { head: "Version", cell: (row) => row.number },
  { head: "Tokens", figure: true, cell: (row) => count(row.rows) },
  { head: "Parent", figure: true, cell: (row) => (row.number === 0 ? "–" : row.parent) },
  { head: "Activated", cell: (row) => (row.activated_at ? date(row.activated_at) : "from the start") },
];

function Proposal({ one }: { one: ProposalEntry }) {
  const more = one.merges - one.tokens.length;
  return (
    <article class="vote" aria-label={`Proposal ${one.id.slice(0, 14)}`} data-proposal={one.state}>
      <div class="vote-head">
        <span>
          <Short text={one.id} /> <span class="muted">by</span> <Short text={one.proposer} />
        </span>
        <Pill tone={TONES[one.state] ?? "plain"}>{NAMES[one.state] ?? one.state}</Pill>
      </div>
      <p class="muted">{one.words}</p>
      {one.state !== "pending" && (
        <div class="vote-bars">
          <div class="field">
            <span class="small">
              Approval{" "}
              <span class="muted">
                {one.approval_bps / 100}% of {one.approval_needed_bps / 100}% needed
              </span>
            </span>
            <Bar
              label="Approval"
              share={one.approval_bps / 10_000}
              marker={one.approval_needed_bps / 10_000}
            />
          </div>
          <div class="field">
            <span class="small">
              Quorum <span class="muted">{one.quorum_bps / 100}%</span>
            </span>
            <Bar label="Quorum" share={one.quorum_bps / 10_000} tone="plain" />
          </div>
        </div>
      )}
      {one.tokens.length > 0 && (
        <ul class="tokens" aria-label={plural(one.merges, "new token")}>
          {one.tokens.map((token, index) => (
            <li key={`${index} ${token}`}>
              <code>{token}</code>
            </li>
          ))}
          {more > 0 && <li class="muted">and {more} more</li>}
        </ul>
      )}
    </article>
  );
}
