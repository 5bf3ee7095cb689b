/** Exact steps from a version's weights: consensus/training/step.py. Every machine gets these bits. */

import { type Architecture, adamw, elements, isYoung, microBatch, type Shape, shapes } from "./architecture";
import { Engine, type Matrix } from "./engine";
import type { Kernels } from "./kernels";
import { lossAndGrads, type Matrices, of, pack } from "./model";
import { Roots } from "./roots";
import { rawBytes } from "./tensors";

export interface StepLeaf {
  stateRoot: Uint8Array;
  batchRoot: Uint8Array;
  lossBits: number;
}

export class Diverged extends Error {}

export class Trainer {
  readonly shapes: Shape[];
  readonly roots: Roots;
  private readonly engine: Engine;
  private readonly weights: Matrices;
  private readonly m: Matrices;
  private readonly v: Matrices;
  private readonly grads: Matrices;
  private readonly tokens: number;
  private readonly inputs: number;
  private readonly targets: number;
  private step = 0;

  constructor(
    private readonly kernels: Kernels,
    readonly architecture: Architecture,
  ) {
    const a = architecture;
    this.engine = new Engine(kernels);
    this.roots = new Roots(kernels);
    this.shapes = shapes(a);
    this.weights = this.room();
    this.m = this.room();
    this.v = this.room();
    this.grads = this.room();
    this.tokens = kernels.take(a.batch * (a.seq_len + 1) * 4);
    this.inputs = kernels.take(a.batch * a.seq_len * 4);
    this.targets = kernels.take(a.batch * a.seq_len * 4);
  }

  private room(): Matrices {
    const all: Matrices = new Map();
    for (const shape of this.shapes) {
      all.set(shape.name, {
        at: this.kernels.take(elements(shape) * 4),
        rows: shape.dims[0],
        cols: shape.dims[1],
      });
    }
    return all;
  }

  private floats(matrix: Matrix): Float32Array {
    return this.kernels.floats(matrix.at, matrix.rows * matrix.cols);
  }

  /** Begin from these weights with zero moments. */
  start(weights: Map<string, Float32Array>): void {
    for (const { name } of this.shapes) {
      const given = of(weights, name);
      const held = this.floats(of(this.weights, name));
      if (given.length !== held.length)
        throw new Error(`${name} has ${given.length} numbers instead of ${held.length}`);
      held.set(given);
      this.floats(of(this.m, name)).fill(0);
      this.floats(of(this.v, name)).fill(0);
    }
    this.step = 0;
  }

  /** Tokens u16 [batch, seq_len + 1] of the next step -> mean loss in nats and what the step commits to. */
  next(tokens: Uint16Array): { loss: number; leaf: StepLeaf } {
    const a = this.architecture;
    const width = a.seq_len + 1;
    if (tokens.length !== a.batch * width)
      throw new Error(`a step takes ${a.batch * width} tokens, not ${tokens.length}`);
    this.place(tokens);
    const packed = pack(this.engine, this.weights);
    const scale = Math.fround(1 / (a.batch * a.seq_len));
    const rows = microBatch(a);
    let total = 0;
    for (let at = 0; at < a.batch; at += rows) {
      const offset = at * a.seq_len * 4;
      const batch = { inputs: this.inputs + offset, targets: this.targets + offset, sequences: rows };
      total += lossAndGrads(this.engine, a, this.weights, packed, batch, scale, this.grads, at > 0);
    }
    this.update();
    const perToken = Math.fround(1 / (a.batch * a.seq_len * 65536));
    const loss = Math.fround(Math.fround(total) * perToken);
    const stateRoot = this.roots.state(this.shapes, [this.weights, this.m, this.v]);
    const batchRoot = this.roots.tensor(this.tokens, tokens.length * 4);
    return { loss, leaf: { stateRoot, batchRoot, lossBits: bitsOf(loss) } };
  }

  /** start weights - end weights, fp32 by name. */
  difference(from: Map<string, Float32Array>): Map<string, Float32Array> {
    const update = new Map<string, Float32Array>();
    for (const { name } of this.shapes) {
      const end = this.floats(of(this.weights, name));
      update.set(
        name,
        of(from, name).map((start, i) => start - end[i]!),
      );
    }
    return update;
  }

  /** The whole state as a safetensors file: weights/…, m/… and v/…. */
  checkpoint(): Uint8Array<ArrayBuffer> {
    const groups: [string, Matrices][] = [
      ["weights", this.weights],
      ["m", this.m],
      ["v", this.v],
    ];
    const all = groups.flatMap(([group]) =>
      this.shapes.map(({ name, dims }): Shape => ({ name: `${group}/${name}`, dims })),
    );
    const tensors = new Map<string, Float32Array>();
    for (const [group, held] of groups) {
      for (const [name, matrix] of held) tensors.set(`${group}/${name}`, this.floats(matrix));
    }
    return rawBytes(all, tensors);
  }

  private place(tokens: Uint16Array): void {
    const { batch, seq_len: length } = this.architecture;
    const all = this.kernels.ints(this.tokens, tokens.length);
    const inputs = this.kernels.ints(this.inputs, batch * length);
    const targets = this.kernels.ints(this.targets, batch * length);
    all.set(tokens);
    for (let row = 0; row < batch; row++) {
      const at = row * (length + 1);
      inputs.set(all.subarray(at, at + length), row * length);
      targets.set(all.subarray(at + 1, at + 1 + length), row * length);
    }
  }

  private update(): void {
    const a = this.architecture;
    const old = adamw(this.step);
    const young = adamw(this.step, a.age + this.step);
    for (const shape of this.shapes) {
      const [w, m, v, g] = [this.weights, this.m, this.v, this.grads].map((all) => of(all, shape.name).at);
      const constants = isYoung(a, shape.name) ? young : old;
      if (!this.engine.adamw(w!, m!, v!, g!, elements(shape), constants)) {
        throw new Diverged(`${shape.name} left the finite range at step ${this.step}`);
      }
    }
    this.step++;
  }
}

function bitsOf(x: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setFloat32(0, x);
  return view.getUint32(0);
}
