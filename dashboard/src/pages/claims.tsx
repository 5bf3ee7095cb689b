import type { ClaimEntry, ClaimsAnswer, DisputeEntry, DisputesAnswer } from "../api/types";
import { useResource } from "../api/use";
import { count, duration, plural } from "../format";
import { Card, Empty, Failure, Loading, Pill, Short, type Tone } from "../parts/basics";
import { Heading } from "../parts/shell";
import { type Column, Table } from "../parts/table";

const TONES: Record<string, Tone> = {
  planned: "plain",
  sent: "accent",
  challenged: "warn",
  final: "good",
  paid: "good",
  lost: "bad",
  dropped: "plain",
};
const WORDS: Record<string, string> = {
  planned: "not posted yet",
  sent: "open to challenge",
  challenged: "must be answered",
  final: "beyond dispute",
  paid: "reward collected",
  lost: "ruled wrong",
  dropped: "never posted",
};
const LANES = ["planned", "sent", "challenged", "final", "paid", "lost"];

export function ClaimsPage() {
  const claims = useResource<ClaimsAnswer>("/dashboard/api/v1/claims", 2);
  const disputes = useResource<DisputesAnswer>("/dashboard/api/v1/disputes", 2);
  const found = claims.data;
  return (
    <>
      <Heading title="Claims and disputes">
        Each claim commits to every bit of a piece of work. Anyone may challenge it until its window closes.
      </Heading>
      <div class="grid">
        <Card title="A claim's way">
          {found ? (
            <Lanes states={found.states} />
          ) : claims.error ? (
            <Failure error={claims.error} />
          ) : (
            <Loading />
          )}
        </Card>
        <Card title="Disputes" note={disputes.data && `round ${disputes.data.round}`}>
          {disputes.error && <Failure error={disputes.error} kept={disputes.data !== undefined} />}
          {disputes.data ? <Disputes answer={disputes.data} /> : !disputes.error && <Loading />}
        </Card>
        <Card title="Claims" note={found && plural(found.claims.length, "newest", "newest")}>
          {found && found.claims.length > 0 && (
            <Table
              label="Claims"
              columns={CLAIMS}
              rows={found.claims}
              id={(row) => row.hash}
              mark={(row) => row.own}
            />
          )}
          {found?.claims.length === 0 && (
            <Empty title="No claim yet">
              A node posts its first claim at the end of the steps of a round.
            </Empty>
          )}
          {!found && !claims.error && <Loading lines={5} />}
        </Card>
      </div>
    </>
  );
}

function Lanes(props: { states: Record<string, number> }) {
  return (
    <ol class="lanes">
      {LANES.map((lane) => (
        <li key={lane} class="lane" data-lane={lane}>
          <span class="figure">{count(props.states[lane] ?? 0)}</span>
          <Pill tone={TONES[lane] ?? "plain"}>{lane}</Pill>
          <p class="muted small">{WORDS[lane]}</p>
        </li>
      ))}
    </ol>
  );
}

const CLAIMS: readonly Column<ClaimEntry>[] = [
  { head: "Claim", cell: (row) => <Short text={row.hash} /> },
  { head: "Round", figure: true, cell: (row) => row.round },
  { head: "Kind", cell: (row) => row.kind },
  { head: "By", cell: (row) => (row.own ? <strong>this node</strong> : <Short text={row.node} />) },
  { head: "Steps", figure: true, cell: (row) => count(row.steps) },
  { head: "State", cell: (row) => <Pill tone={TONES[row.state] ?? "plain"}>{row.state}</Pill> },
  {
    head: "Audit",
    cell: (row) => (row.audit ? <Pill tone={row.audit === "ok" ? "good" : "warn"}>{row.audit}</Pill> : "–"),
  },
  {
    head: "Note",
    wide: true,
    cell: (row) => <span class="muted small">{row.reason || row.audit_detail}</span>,
  },
];

function Disputes({ answer }: { answer: DisputesAnswer }) {
  if (answer.disputes.length === 0) {
    return (
      <Empty title="No dispute">
        Nobody objects to a claim of this round. When somebody does, every move stands here.
      </Empty>
    );
  }
  const columns: readonly Column<DisputeEntry>[] = [
    { head: "Claim", cell: (row) => <Short text={row.claim} /> },
    { head: "Prover", cell: (row) => <Short text={row.prover} /> },
    { head: "Challenger", cell: (row) => <Short text={row.challenger} /> },
    { head: "Step", figure: true, cell: (row) => row.step },
    { head: "Moves", figure: true, cell: (row) => row.moves },
    {
      head: "Stands",
      wide: true,
      cell: (row) => <Pill tone={row.turn ? "warn" : "plain"}>{row.words}</Pill>,
    },
    {
      head: "Time left",
      figure: true,
      cell: (row) => (row.turn ? duration(row.deadline - answer.now) : "–"),
    },
  ];
  return (
    <Table
      label="Disputes"
      columns={columns}
      rows={answer.disputes}
      id={(row) => `${row.claim} ${row.challenger}`}
    />
  );
}
