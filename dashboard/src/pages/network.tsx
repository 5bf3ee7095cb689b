import type {
  LayerRow,
  Model,
  NetworkAnswer,
  NodeEntry,
  QuorumRow,
  RoundEntry,
  RoundsAnswer,
} from "../api/types";
import { useResource } from "../api/use";
import { ago, bytes, count, date, loss, percent, plural } from "../format";
import { Bar, Card, Empty, Failure, Loading, Pill, Short, Stat, Stats, type Tone } from "../parts/basics";
import { Heading } from "../parts/shell";
import { type Column, Table } from "../parts/table";
import { useShared } from "../sources";

export function NetworkPage() {
  const { features } = useShared();
  return features.node ? <NodesNetwork /> : <GatewaysNetwork />;
}

function NodesNetwork() {
  const { data, error } = useResource<NetworkAnswer>("/dashboard/api/v1/network", 3);
  const rounds = useResource<RoundsAnswer>("/dashboard/api/v1/rounds", 5);
  return (
    <>
      <Heading title="Network">
        Who is there, what each node does, and which part of the model lacks hands.
      </Heading>
      {error && <Failure error={error} kept={data !== undefined} />}
      {!data && !error && (
        <Card>
          <Loading lines={5} />
        </Card>
      )}
      {data && (
        <div class="grid">
          <Nodes answer={data} />
          <Card title="Layers" note="how scarce each part is">
            {data.layers.length > 0 ? (
              <ul class="layers">
                {data.layers.map((row) => (
                  <Layer key={row.part} row={row} />
                ))}
              </ul>
            ) : (
              <Empty title="No part is known yet">A running node writes down who holds what.</Empty>
            )}
          </Card>
          <Card title="Quorums" class="half" note={plural(data.quorums.length, "quorum")}>
            {data.quorums.length > 0 ? (
              <Table label="Quorums" columns={QUORUMS} rows={data.quorums} id={(row) => row.id} />
            ) : (
              <Empty title="No quorum">
                Nodes of like speed whose layers cover the model form one. A node that is alone trains by
                itself.
              </Empty>
            )}
          </Card>
          <Card title="Rounds" class="half">
            <Rounds answer={rounds.data} />
          </Card>
        </div>
      )}
    </>
  );
}

function Nodes({ answer }: { answer: NetworkAnswer }) {
  if (answer.nodes.length === 0) {
    return (
      <Card>
        <Empty title="No network seen yet">
          A running node writes what it sees into its home folder: <code>ponw run</code> starts one.
        </Empty>
      </Card>
    );
  }
  return (
    <>
      <Card title="By mode" class="third" note={`${answer.online} online`}>
        <Spread counts={answer.modes} all={answer.online} />
      </Card>
      <Card title="By tier" class="third" note="milliseconds a layer">
        <Spread counts={answer.tiers} all={answer.online} />
      </Card>
      <Card title="Seen" class="third">
        <Stats>
          <Stat label="Nodes" value={count(answer.nodes.length)} hint={`${answer.online} online`} />
          <Stat label="As of" value={<small>{ago(answer.updated)}</small>} />
        </Stats>
      </Card>
      <Card title="Nodes">
        <Table
          label="Nodes"
          columns={nodes(answer)}
          rows={answer.nodes}
          id={(row) => row.account}
          mark={(row) => row.account.toLowerCase() === answer.account.toLowerCase()}
        />
      </Card>
    </>
  );
}

function Spread(props: { counts: Record<string, number>; all: number }) {
  const entries = Object.entries(props.counts).sort(([a], [b]) => a.localeCompare(b));
  return (
    <ul class="spread">
      {entries.map(([name, number]) => (
        <li key={name}>
          <span>{name}</span>
          <Bar label={name} share={props.all ? number / props.all : 0} text={plural(number, "node")} />
          <span class="right">{number}</span>
        </li>
      ))}
    </ul>
  );
}

const PRESENCE: Record<NodeEntry["presence"], Tone> = { online: "good", stale: "warn", offline: "bad" };

function nodes(answer: NetworkAnswer): readonly Column<NodeEntry>[] {
  const own = answer.account.toLowerCase();
  const name = (part: number) => answer.layers[part]?.name ?? `part ${part}`;
  return [
    {
      head: "Node",
      cell: (row) => (
        <>
          <Short text={row.account} />
          {row.account.toLowerCase() === own && (
            <>
              {" "}
              <Pill tone="accent">this node</Pill>
            </>
          )}
        </>
      ),
    },
    { head: "Mode", cell: (row) => row.mode || "unknown" },
    { head: "Tier", cell: (row) => (row.speed ? `T${row.speed}` : "–") },
    {
      head: "ms a layer",
      figure: true,
      cell: (row) => (row.layer_us ? (row.layer_us / 1000).toFixed(1) : "–"),
    },
    { head: "Memory", figure: true, cell: (row) => (row.memory ? bytes(row.memory) : "–") },
    {
      head: "Holds",
      cell: (row) => (row.held ? `${name(row.held.start)} to ${name(row.held.stop - 1)}` : "–"),
    },
    { head: "Presence", cell: (row) => <Pill tone={PRESENCE[row.presence]}>{row.presence}</Pill> },
    { head: "Why", wide: true, cell: (row) => <span class="muted small">{row.why}</span> },
  ];
}

const QUORUMS: readonly Column<QuorumRow>[] = [
  { head: "Quorum", cell: (row) => <Short text={row.id} /> },
  { head: "State", cell: (row) => <Pill tone={row.state === "active" ? "good" : "plain"}>{row.state}</Pill> },
  { head: "Members", figure: true, cell: (row) => row.seats.length },
  { head: "Batches", figure: true, cell: (row) => count(row.batches) },
  { head: "Ends", cell: (row) => (row.ends ? date(row.ends) : "–") },
];

function Layer({ row }: { row: LayerRow }) {
  const tone: Tone = row.scarcity >= 0.5 ? "bad" : row.scarcity > 0 ? "warn" : "accent";
  const share = row.wanted ? row.holders.length / row.wanted : 1;
  return (
    <li class="layer">
      <span class="layer-head">
        <strong>{row.name}</strong>
        <span class="muted small">
          {row.holders.length} of {row.wanted}
        </span>
      </span>
      <Bar
        label={`${row.name}: holders`}
        share={share}
        tone={tone}
        text={`${row.holders.length} of ${row.wanted}`}
      />
      <span class="muted small">{row.scarcity > 0 ? `scarce ${percent(row.scarcity)}` : "covered"}</span>
    </li>
  );
}

const ROUNDS: readonly Column<RoundEntry>[] = [
  { head: "Round", cell: (row) => `#${row.number}` },
  {
    head: "Phase",
    cell: (row) => <Pill tone={row.phase === "closed" ? "plain" : "accent"}>{row.phase}</Pill>,
  },
  { head: "Steps here", figure: true, cell: (row) => count(row.steps) },
  { head: "Claims", figure: true, cell: (row) => count(row.claims) },
  { head: "Loss", figure: true, cell: (row) => loss(row.last_loss) },
];

function Rounds({ answer }: { answer: RoundsAnswer | undefined }) {
  if (!answer) return <Loading />;
  if (answer.rounds.length === 0)
    return <Empty title="No round yet">The first one stands here once the node has seen it.</Empty>;
  return <Table label="Rounds" columns={ROUNDS} rows={answer.rounds.slice(0, 10)} id={(row) => row.number} />;
}

const VERSIONS: readonly Column<Model>[] = [
  {
    head: "Version",
    cell: (row) => (
      <>
        <strong>{row.version}</strong> {row.active && <Pill tone="accent">current</Pill>}
      </>
    ),
  },
  { head: "From", cell: (row) => row.source },
  { head: "Made", cell: (row) => date(row.created_at) },
  { head: "Held-out loss", figure: true, cell: (row) => loss(asNumber(row.metrics.heldout_loss)) },
  { head: "Updates", figure: true, cell: (row) => asNumber(row.metrics.updates) ?? "–" },
  { head: "Size", figure: true, cell: (row) => bytes(row.size) },
  { head: "Root", cell: (row) => <Short text={row.root} /> },
];

function asNumber(value: unknown): number | null {
  return typeof value === "number" ? value : null;
}

/** A gateway knows no peers: it shows its volunteers and the versions of the model that they made. */
function GatewaysNetwork() {
  const { stats } = useShared();
  const versions = useResource<Model[] | { versions: Model[] }>("/api/v1/model/versions", 5);
  const rows = Array.isArray(versions.data) ? versions.data : versions.data?.versions;
  const newest = rows && [...rows].sort((a, b) => b.number - a.number);
  const model = newest?.find((row) => row.active) ?? newest?.[0];
  return (
    <>
      <Heading title="Network">
        The gateway, the volunteers behind it, and every version of the model that came of it.
      </Heading>
      <div class="grid">
        <Card title="Volunteers" class="half">
          {stats.data ? (
            <Stats>
              <Stat
                label="Active"
                value={count(stats.data.active_workers)}
                hint="seen in the last two minutes"
              />
              <Stat label="Registered" value={count(stats.data.total_workers)} />
              <Stat label="Batches waiting" value={count(stats.data.batches_pending)} />
              <Stat label="Aggregations" value={count(stats.data.aggregations)} />
            </Stats>
          ) : stats.error ? (
            <Failure error={stats.error} />
          ) : (
            <Loading />
          )}
        </Card>
        <Card title="Model" class="half">
          {model ? (
            <Stats>
              <Stat label="Parameters" value={count(model.num_parameters)} hint={model.architecture.name} />
              <Stat
                label="Layers"
                value={model.architecture.layers}
                hint={`${model.architecture.width} wide`}
              />
              <Stat label="Context" value={model.architecture.seq_len} hint="tokens" />
              <Stat label="Vocabulary" value={count(model.architecture.vocab)} />
            </Stats>
          ) : (
            <Loading />
          )}
        </Card>
        <Card title="Versions">
          {versions.error && <Failure error={versions.error} kept={newest !== undefined} />}
          {newest && newest.length > 0 && (
            <Table
              label="Versions of the model"
              columns={VERSIONS}
              rows={newest.slice(0, 12)}
              id={(row) => row.version}
            />
          )}
          {!newest && !versions.error && <Loading />}
        </Card>
      </div>
    </>
  );
}
