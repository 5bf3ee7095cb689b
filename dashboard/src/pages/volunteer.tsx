import { useState } from "preact/hooks";
import { type ApiError, asApiError } from "../api/http";
import type { PanelState } from "../api/types";
import { bytes, count, duration, loss, speed } from "../format";
import { Bar, Card, Copy, Empty, Failure, Loading, Pill, Stat, Stats, type Tone } from "../parts/basics";
import { Chart } from "../parts/chart";
import { Heading } from "../parts/shell";
import { useShared } from "../sources";
import { PageTrainer } from "../trainer/page";
import type { Trainer } from "../trainer/trainer";
import { Contribution } from "./contribution";
import { LimitsCard } from "./limits";
import { LogCard } from "./log";

const WORDS: Record<PanelState["phase"], string> = {
  idle: "Waiting",
  downloading: "Downloading the model",
  training: "Training",
  uploading: "Sending the update",
  paused: "Paused",
  finishing: "Finishing this batch",
  stopped: "Finished",
};

export function VolunteerPage() {
  const { features, panel, lost, trainer } = useShared();
  if (!trainer) return <Invitation />;
  if (!panel) {
    return (
      <>
        <Heading title="Volunteer" />
        <Card>{lost ? <Failure error={asApiError(lost)} /> : <Loading />}</Card>
      </>
    );
  }
  return (
    <>
      <Heading title={panel.username ? `Hello, ${panel.username}` : "Lend a hand"}>
        {panel.username
          ? "Your machine trains batches of the common model, and everything it does stands here."
          : "Press the button, and this machine trains batches of the common model. No wallet, no stake."}
      </Heading>
      <div class="grid">
        <Hero panel={panel} trainer={trainer} />
        <Curve />
        <Contribution panel={panel} />
        <LimitsCard panel={panel} trainer={trainer} />
        <LogCard lines={panel.log} />
        {!features.panel && <WholeMachine />}
      </div>
    </>
  );
}

function Hero(props: { panel: PanelState; trainer: Trainer }) {
  const { panel } = props;
  return (
    <Card class="hero">
      <div class="hero-top">
        <div>
          <p class="hero-word" data-phase={panel.phase}>
            {WORDS[panel.phase]}
          </p>
          <p class="muted">{explain(panel)}</p>
        </div>
        <Buttons {...props} />
      </div>
      {panel.worker?.quarantined_until && (
        <p class="note">
          Uploads are set aside until{" "}
          {new Date(panel.worker.quarantined_until * 1000).toLocaleTimeString("en-GB")}:{" "}
          {panel.worker.quarantine_reason}
        </p>
      )}
      {panel.worker_id === null && props.trainer instanceof PageTrainer && (
        <NameField trainer={props.trainer} />
      )}
      <Progress panel={panel} />
    </Card>
  );
}

/** What stands below the big word. */
function explain(panel: PanelState): string {
  if (panel.wish === "pause" && panel.phase === "paused")
    return "Nothing is lost. Start goes on where it stopped.";
  if (panel.reason) return panel.reason;
  return panel.model ? `Version ${panel.model.version} of the model, from ${panel.gateway}` : panel.gateway;
}

function Buttons({ panel, trainer }: { panel: PanelState; trainer: Trainer }) {
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const press = async (wish: () => Promise<void>) => {
    setBusy(true);
    setError(undefined);
    try {
      await wish();
    } catch (thrown) {
      setError(asApiError(thrown));
    } finally {
      setBusy(false);
    }
  };
  const over = panel.phase === "stopped";
  const running = panel.wish === "start";
  const first = panel.username === null ? "Join and start" : "Start";
  return (
    <div>
      <div class="buttons">
        <button
          type="button"
          class={`button ${running ? "" : "main"}`}
          disabled={busy || over || running}
          onClick={() => void press(() => trainer.start())}
        >
          {first}
        </button>
        <button
          type="button"
          class="button"
          disabled={busy || over || panel.wish === "pause"}
          onClick={() => void press(() => trainer.pause())}
        >
          Pause
        </button>
        <button
          type="button"
          class="button"
          disabled={busy || over || panel.wish === "finish"}
          onClick={() => void press(() => trainer.finish())}
        >
          Finish
        </button>
      </div>
      {error && <Failure error={error} />}
    </div>
  );
}

/** A page uses one thread; the program uses the whole machine. */
function WholeMachine() {
  return (
    <Card title="More than one thread">
      <p class="muted">
        This page trains with one thread of your processor, bit for bit as every other machine does. The
        program uses all of them, and goes on when the browser is closed.
      </p>
      <Copy text={`pip install ponw && ponw volunteer ${location.origin} --panel`} />
    </Card>
  );
}

function NameField({ trainer }: { trainer: PageTrainer }) {
  return (
    <p class="field">
      <label for="name">Your name on the leaderboard</label>
      <input
        id="name"
        maxLength={32}
        pattern="[A-Za-z0-9][A-Za-z0-9 ._\-]{0,31}"
        placeholder="nobody in particular"
        autocomplete="nickname"
        onChange={(event) => {
          if (event.currentTarget.checkValidity()) trainer.called(event.currentTarget.value.trim());
        }}
      />
    </p>
  );
}

function Progress({ panel }: { panel: PanelState }) {
  const { batch, transfer } = panel;
  if (transfer) {
    const share = transfer.size ? transfer.done / transfer.size : 0;
    const way = transfer.direction === "down" ? "Downloading" : "Uploading";
    return (
      <div class="field">
        <p class="progress-line">
          <span>
            {way} {transfer.name}
          </span>
          <span class="muted">
            {bytes(transfer.done)} of {bytes(transfer.size)}
          </span>
        </p>
        <Bar label={`${way} ${transfer.name}`} share={share} />
      </div>
    );
  }
  if (!batch) return null;
  return (
    <>
      <div class="field">
        <p class="progress-line">
          <span data-progress={batch.step}>
            Step {batch.step} of {batch.steps}
          </span>
          <span class="muted">
            {batch.seconds_left === null ? "" : `${duration(batch.seconds_left)} left`}
          </span>
        </p>
        <Bar label="Batch" share={batch.steps ? batch.step / batch.steps : 0} />
      </div>
      <Stats>
        <Stat id="loss" label="Loss" value={loss(batch.loss)} hint="nats a token, last step" />
        <Stat
          id="speed"
          label="Speed"
          value={
            <>
              {speed(batch.tokens_per_s)} <small>tokens/s</small>
            </>
          }
        />
        <Stat
          label="This batch"
          value={count(batch.samples)}
          hint={batch.samples === 1 ? "sample" : "samples"}
        />
        <Stat label="Tokens so far" value={count(batch.tokens)} />
      </Stats>
    </>
  );
}

function Curve() {
  const { losses, speeds } = useShared();
  return (
    <>
      <Card title="Loss" note="every step of yours" class="half">
        {losses.length > 0 ? (
          <Chart
            label="Loss of your steps"
            time
            xs={losses.map((point) => point.at)}
            ys={losses.map((point) => point.value)}
            value={(y) => y.toFixed(2)}
            x={clockOf}
            height={180}
          />
        ) : (
          <Empty title="No curve yet">It begins with the first step, and falls as the model learns.</Empty>
        )}
      </Card>
      <Card title="Speed" note="tokens a second" class="half">
        {losses.length > 0 ? (
          <Chart
            label="Tokens a second"
            time
            area
            xs={speeds.map((point) => point.at)}
            ys={speeds.map((point) => point.value)}
            value={(y) => count(Math.round(y))}
            x={clockOf}
            height={180}
          />
        ) : (
          <Empty title="Not measured yet">Every machine counts, whatever its pace.</Empty>
        )}
      </Card>
    </>
  );
}

function clockOf(at: number): string {
  return new Date(at * 1000).toLocaleTimeString("en-GB", {
    hour: "2-digit",
    minute: "2-digit",
    second: "2-digit",
  });
}

/** At a gateway there is no trainer behind the page: it says how to start one. */
function Invitation() {
  const { stats } = useShared();
  const all = stats.data;
  const tone: Tone = all?.idle_reason ? "warn" : "good";
  return (
    <>
      <Heading title="Lend a hand">
        Everyone's machine can train a batch of the common model. Nothing is needed but this address: no
        wallet, no stake.
      </Heading>
      <div class="grid">
        <Card title="How to take part" class="two-thirds">
          <ol class="steps">
            <li>
              <div>
                <h3>Install the node's program</h3>
                <p class="muted">It needs Python 3.11 and an ordinary processor.</p>
                <Copy text="pip install ponw" />
              </div>
            </li>
            <li>
              <div>
                <h3>Point it here</h3>
                <p class="muted">
                  It makes a key of its own, registers, and prints the address of its panel.
                </p>
                <Copy text={`ponw volunteer ${location.origin} --panel 127.0.0.1:0`} />
              </div>
            </li>
            <li>
              <div>
                <h3>Press Start</h3>
                <p class="muted">Set how much of the machine it may use; pause whenever you like.</p>
              </div>
            </li>
          </ol>
        </Card>
        <Card title="Right now" class="third">
          {all ? (
            <>
              <Stats>
                <Stat
                  label="Volunteers active"
                  value={count(all.active_workers)}
                  hint={`${count(all.total_workers)} in all`}
                />
                <Stat label="Batches done" value={count(all.batches_completed)} />
                <Stat label="Tokens learnt" value={count(all.tokens)} />
                <Stat label="Held-out loss" value={loss(all.heldout_loss)} />
              </Stats>
              <p>
                <Pill tone={tone}>{all.idle_reason ? "quiet" : "training"}</Pill>
              </p>
            </>
          ) : stats.error ? (
            <Failure error={stats.error} />
          ) : (
            <Loading lines={4} />
          )}
        </Card>
      </div>
    </>
  );
}
