import { ApiError, asApiError, json } from "../api/http";
import type { GlobalStats, Hardware, Limits, LogLine, Model, PanelState, Phase } from "../api/types";
import type { Architecture } from "../exact/architecture";
import { Account, bytes, workerStats } from "./account";
import { Beats } from "./beats";
import { Computer } from "./computer";
import { obstacle, whenAllowed } from "./hours";
import { cachedModel } from "./models";
import type { Offer } from "./offer";
import type { Trainer } from "./trainer";
import { body, putCheckpoint, type Receipt, reveal, upload } from "./upload";

const LOG_LINES = 200;
const RETRY_S = 5;
const STATS_S = 5;
const LIMITS = "ponw-volunteer-limits";
const WITHOUT_WORK = [503, 429];

const UNLIMITED: Limits = {
  cpu_threads: 1,
  cpu_share: 1,
  gpu_memory_share: 0.8,
  hours: null,
  pause_on_battery: true,
  max_batches: null,
  max_samples: null,
};

const NOTES = [
  "A page computes with one thread of the processor; `ponw volunteer` uses all of them.",
  "The batch under way begins again when this page is closed; nothing that was uploaded is lost.",
];

class Stopped extends Error {}

/** Trains in this very page: the same bits as any node, from the kernels compiled for browsers. */
export class PageTrainer implements Trainer {
  private readonly account = new Account();
  private readonly beats = new Beats();
  private computer: Computer | undefined;
  private state: PanelState;
  private heard: (state: PanelState) => void = () => undefined;
  private running: Promise<void> | undefined;
  private wake: () => void = () => undefined;

  constructor() {
    this.state = {
      phase: "idle",
      wish: "finish",
      reason: "Not started.",
      gateway: location.origin,
      connected: true,
      worker_id: null,
      username: this.account.known ? this.account.name : null,
      model: null,
      batch: null,
      transfer: null,
      session: {
        batches: 0,
        tokens: 0,
        rejected: 0,
        bytes_up: 0,
        bytes_raw: 0,
        bytes_down: 0,
        started_at: 0,
      },
      worker: null,
      network: null,
      hardware: this.hardware(0),
      machine_notes: NOTES,
      limits: keptLimits(),
      log: [],
      at: now(),
    };
  }

  watch(heard: (state: PanelState) => void): () => void {
    this.heard = heard;
    heard(this.state);
    const timer = window.setInterval(() => void this.look(), STATS_S * 1000);
    void this.look();
    return () => window.clearInterval(timer);
  }

  /** What others see on the leaderboard; good before the first start. */
  called(name: string): void {
    this.account.name = name;
  }

  async start(): Promise<void> {
    this.tell({ wish: "start", reason: "" });
    this.computer?.hold(false);
    this.wake();
    this.running ??= this.run().finally(() => {
      this.running = undefined;
    });
  }

  async pause(): Promise<void> {
    this.tell({ wish: "pause", reason: "Paused by you." });
    this.computer?.hold(true);
    if (this.state.phase === "training") this.tell({ phase: "paused" });
  }

  async finish(): Promise<void> {
    this.computer?.hold(false);
    this.tell({ wish: "finish", phase: this.state.batch ? "finishing" : "idle", reason: "" });
    this.wake();
  }

  async limit(limits: Limits): Promise<void> {
    localStorage.setItem(LIMITS, JSON.stringify(limits));
    this.computer?.share(limits.cpu_share);
    this.tell({ limits });
    this.wake();
  }

  private async run(): Promise<void> {
    this.tell({ session: { ...this.state.session, started_at: now() } });
    try {
      await this.machine().ready();
      this.machine().share(this.state.limits.cpu_share);
      while (this.state.wish !== "finish" && !this.enough()) await this.once();
      this.tell({
        phase: "idle",
        wish: "finish",
        batch: null,
        reason: this.enough() ? "The batches you allowed are done." : "Stopped.",
      });
    } catch (error) {
      if (!(error instanceof Stopped)) this.log(asApiError(error).message, "error");
      this.tell({
        phase: "idle",
        wish: "finish",
        batch: null,
        transfer: null,
        reason: asApiError(error).message,
      });
    } finally {
      this.beats.end();
    }
  }

  private machine(): Computer {
    this.computer ??= new Computer();
    return this.computer;
  }

  private enough(): boolean {
    const most = this.state.limits.max_batches;
    return most !== null && this.state.session.batches >= most;
  }

  /** One batch from its offer to its receipt, or one wait for what stands in the way. */
  private async once(): Promise<void> {
    try {
      await this.allowed();
      await this.batch();
    } catch (error) {
      if (error instanceof Stopped || !(error instanceof ApiError)) throw error;
      await this.wait(error);
    }
  }

  private async allowed(): Promise<void> {
    for (
      let why = await obstacle(this.state.limits, this.state.wish);
      why;
      why = await obstacle(this.state.limits, this.state.wish)
    ) {
      this.tell({ phase: "paused", reason: why });
      await Promise.race([whenAllowed(), this.woken()]);
      if (this.state.wish === "finish") throw new Stopped("Stopped.");
    }
    this.tell({ reason: "" });
  }

  private async wait(error: ApiError): Promise<void> {
    if (error.status === 401) this.account.forget();
    const idle = WITHOUT_WORK.includes(error.status);
    if (!idle && this.state.reason !== error.message) this.log(`${error.message} ${error.hint}`, "warning");
    this.tell({
      phase: "idle",
      batch: null,
      transfer: null,
      connected: error.status !== 0,
      reason: `${error.message} ${error.hint}`.trim(),
    });
    await Promise.race([sleep(error.retryAfter ?? RETRY_S), this.woken()]);
  }

  private async batch(): Promise<void> {
    const computer = this.machine();
    const token = await this.token();
    const ask = { hardware: this.state.hardware, samples: this.state.limits.max_samples };
    const offer = await json<Offer>("/api/v1/batch/request", { method: "POST", body: ask, token });
    const model = await this.model(offer, token);
    this.tell({ phase: "downloading", model: { ...model, active: true }, connected: true });
    const weights = await cachedModel(model, (path) => this.fetched(path, model.version, token));
    const tokens = await this.fetched(offer.data_url, "text", token);
    const began = now();
    const per = model.architecture.batch * model.architecture.seq_len;
    this.tell({ phase: "training", reason: "", batch: progress(offer) });
    this.log(`Batch of ${offer.num_samples} samples from ${offer.model_version}`);
    const order = {
      kind: "train" as const,
      architecture: model.architecture as Architecture,
      weights,
      sha256: model.sha256,
      tokens,
      tokensSha256: offer.data_sha256,
      steps: offer.steps,
      codec: offer.codec,
      carried: offer.residual === "carried",
      checkpoints: offer.checkpoints,
    };
    const sent: Promise<void>[] = [];
    const done = await computer.train(order, {
      step: (step, loss, seconds) => this.stepped(offer, per, step, loss, seconds),
      checkpoint: (step, file) => void sent.push(putCheckpoint(offer.batch_id, step, file, token)),
    });
    this.phase("uploading");
    await Promise.all(sent);
    const data = body(offer, this.account.workerId ?? "", done, now() - began);
    const receipt = await upload(data, await this.token());
    this.counted(offer, per, receipt, data.size, done.rawSize);
    if (receipt.reveal_residual) await reveal(receipt.update_id, await computer.reveal(), await this.token());
    computer.counted(receipt.state !== "rejected");
    await this.look();
  }

  private async model(offer: Offer, token: string): Promise<Model> {
    const current = await json<Model>("/api/v1/model/current");
    if (current.version === offer.model_version) return current;
    const kept = await json<Model[]>("/api/v1/model/versions", { token });
    const found = kept.find((model) => model.version === offer.model_version);
    if (!found)
      throw new ApiError(
        `The gateway no longer has ${offer.model_version}.`,
        "Asking for another batch.",
        404,
        "version",
      );
    return found;
  }

  private stepped(offer: Offer, per: number, step: number, loss: number, seconds: number): void {
    const before = this.state.batch ?? progress(offer);
    const speed = per / seconds;
    const smooth = before.tokens_per_s ? 0.8 * before.tokens_per_s + 0.2 * speed : speed;
    const left = ((offer.steps - step) * per) / (smooth * this.state.limits.cpu_share);
    const batch = { ...before, step, tokens: step * per, loss, tokens_per_s: smooth, seconds_left: left };
    this.tell({ batch, hardware: this.hardware(smooth) });
    this.beats.beat(this.state);
  }

  private counted(offer: Offer, per: number, receipt: Receipt, up: number, raw: number): void {
    const { session } = this.state;
    const bad = receipt.state === "rejected";
    this.tell({
      batch: null,
      transfer: null,
      phase: "idle",
      session: {
        ...session,
        batches: session.batches + (bad ? 0 : 1),
        rejected: session.rejected + (bad ? 1 : 0),
        tokens: session.tokens + (bad ? 0 : offer.steps * per),
        bytes_up: session.bytes_up + up,
        bytes_raw: session.bytes_raw + raw,
      },
    });
    this.log(bad ? `Not counted: ${receipt.reason}` : "Contribution recorded", bad ? "warning" : "good");
  }

  private async fetched(path: string, name: string, token: string): Promise<ArrayBuffer> {
    const heard = (done: number, size: number): void =>
      this.tell({ transfer: { name, direction: "down", done, size } });
    const data = await bytes(path, token, heard);
    this.tell({
      transfer: null,
      session: { ...this.state.session, bytes_down: this.state.session.bytes_down + data.byteLength },
    });
    return data;
  }

  private async token(): Promise<string> {
    const token = await this.account.token(this.machine(), this.state.hardware, (text) => this.log(text));
    this.tell({ worker_id: this.account.workerId, username: this.account.name, connected: true });
    await this.beats.begin(token);
    return token;
  }

  /** The figures of the network and of this volunteer. */
  private async look(): Promise<void> {
    try {
      const network = await json<GlobalStats>("/api/v1/stats/global");
      this.tell({ network, connected: true });
      if (this.computer && this.account.known) this.tell({ worker: await workerStats(await this.token()) });
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.tell({ connected: error.status !== 0 });
    }
  }

  private phase(phase: Phase): void {
    this.tell({ phase });
    this.beats.beat(this.state);
  }

  private hardware(speed: number): Hardware {
    return {
      cpu: "browser",
      threads: 1,
      gpu: "",
      vram_gb: 0,
      memory_gb: 0,
      batch_size: null,
      tokens_per_s: speed,
      kernel: this.computer?.kernel ?? "",
    };
  }

  private woken(): Promise<void> {
    return new Promise((resolve) => {
      this.wake = resolve;
    });
  }

  private tell(part: Partial<PanelState>): void {
    this.state = { ...this.state, ...part, at: now() };
    this.heard(this.state);
  }

  private log(text: string, level: LogLine["level"] = "info"): void {
    this.tell({ log: [...this.state.log, { at: now(), level, text }].slice(-LOG_LINES) });
  }
}

function progress(offer: Offer): NonNullable<PanelState["batch"]> {
  return {
    batch_id: offer.batch_id,
    model_version: offer.model_version,
    samples: offer.num_samples,
    step: 0,
    steps: offer.steps,
    tokens: 0,
    loss: null,
    tokens_per_s: 0,
    seconds_left: null,
    expires_at: offer.expires_at,
  };
}

function keptLimits(): Limits {
  const kept = localStorage.getItem(LIMITS);
  return kept ? { ...UNLIMITED, ...(JSON.parse(kept) as Partial<Limits>) } : UNLIMITED;
}

function now(): number {
  return Date.now() / 1000;
}

function sleep(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
