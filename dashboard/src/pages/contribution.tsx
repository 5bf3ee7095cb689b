import type { Badge, PanelState, WorkerUpdate } from "../api/types";
import { ago, bytes, count, loss, percent, plural } from "../format";
import { Card, Empty, Pill, Stat, Stats, type Tone } from "../parts/basics";
import { type Column, Table } from "../parts/table";

const BADGES: readonly Badge[] = ["1K", "10K", "100K"];
const TONES: Record<string, Tone> = { accepted: "good", aggregated: "good", held: "warn", rejected: "bad" };

/** What this volunteer gave, and what the gateway made of it. */
export function Contribution({ panel }: { panel: PanelState }) {
  const { worker, session } = panel;
  return (
    <>
      <Card title="Your contribution" class="two-thirds">
        <Stats>
          <Stat
            id="batches"
            label="Batches"
            value={count(worker?.batches ?? session.batches)}
            hint={`${session.batches} in this session`}
          />
          <Stat id="tokens" label="Tokens" value={count(worker?.tokens ?? session.tokens)} />
          <Stat
            id="rank"
            label="Rank"
            value={worker?.rank ? `#${worker.rank}` : "–"}
            hint={worker ? "of all volunteers" : "after the first batch"}
          />
          <Stat
            label="Reputation"
            value={worker ? percent(worker.reputation / 10_000) : "–"}
            hint={plural(worker?.rejected ?? session.rejected, "refused upload")}
          />
          <Stat
            label="Sent"
            value={bytes(session.bytes_up)}
            hint={
              session.bytes_up
                ? `${(session.bytes_raw / session.bytes_up).toFixed(1)}× smaller than plain`
                : "nothing yet"
            }
          />
        </Stats>
      </Card>
      <Card title="Badges" class="third" note="batches of work">
        <Badges earned={worker?.badges ?? []} />
      </Card>
      <Card title="Last uploads">
        {worker && worker.recent.length > 0 ? (
          <Table
            label="Your last uploads"
            columns={COLUMNS}
            rows={worker.recent}
            id={(row) => row.update_id}
          />
        ) : (
          <Empty title="No upload yet">The first batch stands here as soon as it is sent.</Empty>
        )}
      </Card>
    </>
  );
}

const COLUMNS: readonly Column<WorkerUpdate>[] = [
  { head: "When", cell: (row) => ago(row.uploaded_at) },
  { head: "Version", cell: (row) => row.version },
  { head: "Samples", figure: true, cell: (row) => count(row.samples) },
  { head: "Loss", figure: true, cell: (row) => loss(row.loss) },
  { head: "State", cell: (row) => <Pill tone={TONES[row.state] ?? "plain"}>{row.state}</Pill> },
  { head: "Why", wide: true, cell: (row) => <span class="muted small">{row.reason}</span> },
];

export function Badges(props: { earned: readonly Badge[] }) {
  return (
    <ul class="badges">
      {BADGES.map((badge) => {
        const earned = props.earned.includes(badge);
        return (
          <li key={badge} class={`badge ${earned ? "earned" : ""}`}>
            <svg viewBox="0 0 56 56" aria-hidden="true" focusable="false">
              <path d="M28 3l21 12.5v25L28 53 7 40.500v-25z" />
              <text x="28" y="32.500" text-anchor="middle">
                {badge}
              </text>
            </svg>
            <span class="small">
              <span class="hidden">{badge}: </span>
              {earned ? "earned" : "to come"}
            </span>
          </li>
        );
      })}
    </ul>
  );
}
