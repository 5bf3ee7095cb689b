/** The worker that computes: exact steps, hashes and encodings, away from what the page draws. */

import { elements, type Shape } from "./architecture";
import { encodeUpdate, sendWithFeedback } from "./codec";
import wasmUrl from "./exact.wasm?url";
import { Kernels } from "./kernels";
import type { Order, Report, Trained, TrainOrder, WireLeaf } from "./protocol";
import { hex, join, Roots, unhex } from "./roots";
import { rawBytes, readTensors } from "./tensors";
import { Trainer } from "./trainer";
import { zstdFrame } from "./zstd";

type Tensors = Map<string, Float32Array>;
const TRIES = 1 << 14;

class Desk {
  private trainer: Trainer | undefined;
  private residual: Tensors | undefined;
  private pending: Tensors | undefined;
  private before: Tensors | undefined;
  share = 1;
  held = false;

  constructor(
    private readonly kernels: Kernels,
    private readonly roots: Roots,
  ) {}

  async solve(challenge: string, key: string, difficulty: number): Promise<void> {
    const stem = join(unhex(challenge), this.roots.digest(new TextEncoder().encode(key)));
    for (let from = 0; ; from += TRIES) {
      const nonce = this.roots.solve(stem, difficulty, from, TRIES);
      if (nonce !== undefined) return tell({ kind: "solved", nonce: String(nonce) });
      await pause(0);
    }
  }

  async train(order: TrainOrder): Promise<void> {
    const trainer = this.fitting(order);
    this.check(order.weights, order.sha256, "model");
    this.check(order.tokens, order.tokensSha256, "text of the batch");
    const start = readTensors(order.weights, trainer.shapes);
    const tokens = new Uint16Array(order.tokens);
    const width = order.architecture.batch * (order.architecture.seq_len + 1);
    if (tokens.length !== order.steps * width)
      throw new Error("The batch's text has another size than its offer says.");
    trainer.start(start);
    const leaves: WireLeaf[] = [];
    const losses: number[] = [];
    for (let step = 0; step < order.steps; step++) {
      if (order.checkpoints.includes(step)) this.saved(trainer, step);
      await this.turn();
      const began = performance.now();
      const { loss, leaf } = trainer.next(tokens.subarray(step * width, (step + 1) * width));
      const seconds = (performance.now() - began) / 1000;
      leaves.push({
        state_root: hex(leaf.stateRoot),
        batch_root: hex(leaf.batchRoot),
        loss_bits: leaf.lossBits,
      });
      losses.push(loss);
      tell({ kind: "step", step: step + 1, loss, seconds });
      await pause(seconds * (1 / this.share - 1) * 1000);
    }
    if (order.checkpoints.includes(order.steps)) this.saved(trainer, order.steps);
    this.finished(order, trainer, start, leaves, losses);
  }

  /** The next upload goes on from the residual of the last one only where that one counted. */
  counted(yes: boolean): void {
    if (yes && this.pending) this.residual = this.pending;
    this.pending = undefined;
  }

  /** What `residual_in` of the last upload named. */
  reveal(): void {
    if (!this.trainer || !this.before) throw new Error("There is no residual to show.");
    const file = zstdFrame(rawBytes(this.trainer.shapes, this.before)).buffer;
    tell({ kind: "revealed", file }, [file]);
  }

  private fitting(order: TrainOrder): Trainer {
    if (JSON.stringify(this.trainer?.architecture) !== JSON.stringify(order.architecture)) {
      this.trainer = new Trainer(this.kernels, order.architecture);
      this.residual = this.pending = undefined;
    }
    return this.trainer!;
  }

  private check(data: ArrayBuffer, sha256: string, what: string): void {
    if (hex(this.roots.digest(new Uint8Array(data))) !== sha256)
      throw new Error(`The ${what} arrived damaged.`);
  }

  private async turn(): Promise<void> {
    do await pause(this.held ? 200 : 0);
    while (this.held);
  }

  private saved(trainer: Trainer, step: number): void {
    const file = trainer.checkpoint().buffer;
    tell({ kind: "checkpoint", step, file }, [file]);
  }

  private finished(
    order: TrainOrder,
    trainer: Trainer,
    start: Tensors,
    leaves: WireLeaf[],
    losses: number[],
  ): void {
    const { shapes } = trainer;
    const update = trainer.difference(start);
    const rawSize = rawBytes(shapes, update).length;
    let payload: Uint8Array<ArrayBuffer>;
    let residualIn: string | null = null;
    let residualOut: string | null = null;
    if (order.codec === "raw") payload = rawBytes(shapes, update);
    else if (!order.carried) payload = encodeUpdate(order.codec, shapes, update);
    else {
      this.before = this.residual ?? zeros(shapes);
      const sent = sendWithFeedback(order.codec, shapes, update, this.before);
      this.pending = sent.left;
      payload = sent.payload;
      residualIn = hex(this.roots.digest(rawBytes(shapes, this.before)));
      residualOut = hex(this.roots.digest(rawBytes(shapes, sent.left)));
    }
    const frame = zstdFrame(payload).buffer;
    const payloadSha256 = hex(this.roots.digest(payload));
    const done: Trained = {
      kind: "trained",
      leaves,
      losses,
      frame,
      payloadSha256,
      payloadSize: payload.length,
      rawSize,
      residualIn,
      residualOut,
    };
    tell(done, [frame]);
  }
}

function zeros(shapes: Shape[]): Tensors {
  return new Map(shapes.map((shape) => [shape.name, new Float32Array(elements(shape))]));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function tell(report: Report, transfer: Transferable[] = []): void {
  self.postMessage(report, { transfer });
}

async function serve(desk: Desk, order: Order): Promise<void> {
  if (order.kind === "share") desk.share = order.share;
  else if (order.kind === "hold") desk.held = order.held;
  else if (order.kind === "counted") desk.counted(order.update === "yes");
  else if (order.kind === "reveal") desk.reveal();
  else if (order.kind === "solve") await desk.solve(order.challenge, order.key, order.difficulty);
  else await desk.train(order);
}

async function main(): Promise<void> {
  const answer = await fetch(wasmUrl);
  if (!answer.ok) throw new Error("The kernels of this page are missing.");
  const kernels = await Kernels.load(await answer.arrayBuffer());
  const desk = new Desk(kernels, new Roots(kernels));
  self.onmessage = (message: MessageEvent<Order>) => {
    serve(desk, message.data).catch((error: unknown) => tell({ kind: "failed", reason: reasonOf(error) }));
  };
  tell({ kind: "ready", kernel: "wasm-simd128" });
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

main().catch((error: unknown) => tell({ kind: "failed", reason: reasonOf(error) }));
