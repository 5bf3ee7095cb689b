import type { NodeStatus, RoundsAnswer } from "../api/types";
import { useResource } from "../api/use";
import { clock, count, duration, exact, loss, neuro, speed } from "../format";
import { Bar, Card, Empty, Failure, Loading, Pill, Stat, Stats } from "../parts/basics";
import { Chart } from "../parts/chart";
import { Heading } from "../parts/shell";
import { useShared } from "../sources";

export function TrainingPage() {
  const { features } = useShared();
  return (
    <>
      <Heading title="Training">The loss as it falls, and how fast the text goes by.</Heading>
      {features.node ? <NodesTraining /> : <GatewaysTraining />}
    </>
  );
}

function NodesTraining() {
  const { status, speeds } = useShared();
  const rounds = useResource<RoundsAnswer>("/dashboard/api/v1/rounds", 2);
  const losses = rounds.data?.losses ?? [];
  const first = (rounds.data?.first_step ?? 0) + 1;
  return (
    <div class="grid">
      {status.error && <Failure error={status.error} kept={status.data !== undefined} />}
      {status.data ? <Now status={status.data} /> : <Card>{!status.error && <Loading />}</Card>}
      <Card title="Loss" note="nats a token, each step of this node">
        {rounds.error && <Failure error={rounds.error} kept={losses.length > 0} />}
        {losses.length > 0 ? (
          <Chart
            label="Loss of this node's steps"
            xs={losses.map((_, index) => first + index)}
            ys={losses}
            value={(y) => y.toFixed(2)}
            height={300}
          />
        ) : rounds.data ? (
          <Empty title="No step on record">The curve begins with the node's first step.</Empty>
        ) : (
          <Loading />
        )}
      </Card>
      <Speed points={speeds} />
    </div>
  );
}

function Now({ status }: { status: NodeStatus }) {
  const { now } = status;
  if (!now)
    return (
      <Card>
        <Empty title="This node has not run yet">ponw run starts it.</Empty>
      </Card>
    );
  const left = now.phase_ends ? now.phase_ends - status.at : 0;
  return (
    <Card
      title={`Round ${now.round}`}
      note={
        <>
          {now.phase}
          {left > 0 ? `, ${duration(left)} left` : ""}
        </>
      }
    >
      <Bar
        label="Steps of this round"
        share={now.steps ? now.step / now.steps : 0}
        text={`${now.step} of ${now.steps}`}
      />
      <Stats>
        <Stat
          id="step"
          label="Step"
          value={
            <>
              {exact(now.step)} <small>of {exact(now.steps)}</small>
            </>
          }
          hint={now.activity}
        />
        <Stat id="loss" label="Loss" value={loss(now.loss)} />
        <Stat label="Held-out loss" value={loss(now.heldout_loss)} />
        <Stat
          id="speed"
          label="Speed"
          value={
            <>
              {speed(now.tokens_per_s)} <small>tokens/s</small>
            </>
          }
        />
        <Stat label="Mode" value={now.mode} hint={now.why} />
        <Stat
          label="Earned"
          value={<small>{neuro(status.collected_wei)}</small>}
          hint={`${now.rounds_done} rounds done`}
        />
      </Stats>
      <p>
        <Pill>{now.preset}</Pill> <Pill>{now.kernel}</Pill> {now.tier > 0 && <Pill>T{now.tier}</Pill>}
      </p>
    </Card>
  );
}

function Speed(props: { points: { at: number; value: number }[] }) {
  return (
    <Card title="Speed" note="tokens a second, since this page is open">
      <Chart
        label="Tokens a second"
        time
        area
        xs={props.points.map((point) => point.at)}
        ys={props.points.map((point) => point.value)}
        value={(y) => count(Math.round(y))}
        x={clock}
        height={200}
      />
    </Card>
  );
}

function GatewaysTraining() {
  const { stats, speeds } = useShared();
  const all = stats.data;
  if (!all) return <Card>{stats.error ? <Failure error={stats.error} /> : <Loading lines={5} />}</Card>;
  const history = all.loss_history;
  return (
    <div class="grid">
      <Card title={`Version ${all.version}`} note={`${count(all.active_workers)} active`}>
        <Stats>
          <Stat
            id="heldout"
            label="Held-out loss"
            value={loss(all.heldout_loss)}
            hint="text that nobody trains on"
          />
          <Stat
            id="speed"
            label="Speed"
            value={
              <>
                {speed(all.tokens_per_s)} <small>tokens/s</small>
              </>
            }
            hint="accepted, last minute"
          />
          <Stat label="Tokens" value={count(all.tokens)} />
          <Stat
            label="Batches"
            value={count(all.batches_completed)}
            hint={`${count(all.batches_pending)} waiting`}
          />
          <Stat label="Aggregations" value={count(all.aggregations)} />
        </Stats>
      </Card>
      <Card title="Held-out loss" note="nats a token, by version">
        {history.length > 0 ? (
          <Chart
            label="Held-out loss by version"
            xs={history.map(([version]) => version)}
            ys={history.map(([, value]) => value)}
            value={(y) => y.toFixed(3)}
            x={(x) => (Number.isInteger(x) ? `v${x}` : "")}
            height={300}
          />
        ) : (
          <Empty title="No version has been measured yet">The curve begins with the first aggregation.</Empty>
        )}
      </Card>
      <Speed points={speeds} />
    </div>
  );
}
