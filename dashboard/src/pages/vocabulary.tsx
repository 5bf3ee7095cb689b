import type { VersionEntry, VocabularyAnswer } from "../api/types";
import { useResource } from "../api/use";
import { count, date, plural } from "../format";
import { Card, Empty, Failure, Loading, Stat, Stats } from "../parts/basics";
import { Heading } from "../parts/shell";
import { type Column, Table } from "../parts/table";
import { DepthVote, isOpen, WordVote } from "./votes";

export function VocabularyPage() {
  const { data, error } = useResource<VocabularyAnswer>("/dashboard/api/v1/vocabulary", 4);
  return (
    <>
      <Heading title="Vocabulary">
        Holders of stake vote new tokens into the model's vocabulary, and back out of it. All began with the
        256 bytes. They vote on more layers in the same way.
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
  const open = [...answer.proposals, ...answer.growths].filter(isOpen);
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
          answer.proposals.map((one) => <WordVote key={one.id} one={one} now={answer.now} />)
        )}
      </Card>
      <Card title="Growths of layers" note={plural(answer.growths.length, "growth")}>
        {answer.growths.length === 0 ? (
          <Empty title="Nobody has proposed more layers yet">
            <code>ponw layers propose --add 3 --dry-run</code> shows what a growth would be.
          </Empty>
        ) : (
          answer.growths.map((one) => <DepthVote key={one.id} one={one} now={answer.now} />)
        )}
      </Card>
    </div>
  );
}

const VERSIONS: readonly Column<VersionEntry>[] = [
  { head: "Version", cell: (row) => row.number },
  { head: "Change", cell: change },
  { head: "Tokens", figure: true, cell: (row) => count(row.rows) },
  { head: "Parent", figure: true, cell: (row) => (row.number === 0 ? "–" : row.parent) },
  { head: "Activated", cell: (row) => (row.activated_at ? date(row.activated_at) : "from the start") },
];

function change(row: VersionEntry): string {
  if (row.number === 0) return "–";
  return row.after ? `layers ${row.before} → ${row.after}` : "words";
}
