/** The exact ops over the kernels: consensus/arithmetic/compiled.py, op for op. Matrices are pointers with their sizes. */

import { BLOCK } from "./architecture";
import { Arena, type Kernels } from "./kernels";

export interface Matrix {
  at: number;
  rows: number;
  cols: number;
}

interface Packed {
  data: number;
  scale: number;
}

export interface Weight {
  outputs: number;
  inputs: number;
  forward: Packed;
  backward: Packed;
}

export interface Norm {
  y: Matrix;
  r: number;
}

export interface Attention {
  qkv: Matrix;
  p: number;
  sequences: number;
  heads: number;
}

const LOG2E = 1.4426950216293335; // 0x1.715476p+0, exactly
const RMS_EPS = Math.fround(1e-5);
const WORD = 4;

const panels = (rows: number): number => Math.ceil(rows / 16);
const packedWords = (rows: number, k: number): number =>
  panels(rows) * 16 * (Math.floor(k / BLOCK) * (BLOCK / 2) + Math.floor(((k % BLOCK) + 1) / 2));
const scaleWords = (rows: number, k: number): number => Math.ceil(k / BLOCK) * panels(rows) * 16;
const rootScale = (headWidth: number): number => Math.fround(1 / Math.sqrt(headWidth));

export class Engine {
  private readonly arena: Arena;
  private readonly weights = new Map<string, Weight>();
  private readonly kept = new Map<string, { at: number; words: number }>();

  constructor(readonly kernels: Kernels) {
    this.arena = new Arena(kernels);
  }

  /** Starts a micro-batch: what the last one returned may be overwritten from here on. */
  begin(): void {
    this.arena.rewind();
  }

  private matrix(rows: number, cols: number): Matrix {
    return { at: this.arena.take(rows * cols * WORD), rows, cols };
  }

  private packing(rows: number, k: number, take = (bytes: number): number => this.arena.take(bytes)): Packed {
    return { scale: take(scaleWords(rows, k) * WORD), data: take(packedWords(rows, k) * WORD) };
  }

  private scratch(key: string, words: number): number {
    let held = this.kept.get(key);
    if (!held || held.words < words) {
      held = { at: this.kernels.take(words * WORD), words };
      this.kept.set(key, held);
    }
    return held.at;
  }

  private packRows(x: Matrix, out: Packed): Packed {
    this.kernels.calls.ponw_pack_rows(x.at, x.cols, x.rows, x.cols, out.data, out.scale);
    return out;
  }

  private packCols(x: Matrix, out: Packed): Packed {
    this.kernels.calls.ponw_pack_cols(x.at, x.cols, x.rows, x.cols, out.data, out.scale);
    return out;
  }

  private gemm(
    a: Packed,
    b: Packed,
    m: number,
    n: number,
    k: number,
    out: number,
    accumulate: boolean,
  ): void {
    this.kernels.calls.ponw_gemm(a.data, a.scale, b.data, b.scale, m, n, k, out, n, accumulate ? 1 : 0);
  }

  /** Quantises w [N, K] along both dimensions, once a step. */
  packWeight(name: string, w: Matrix): Weight {
    let held = this.weights.get(name);
    if (!held) {
      const own = (bytes: number): number => this.kernels.take(bytes);
      const [n, k] = [w.rows, w.cols];
      held = { outputs: n, inputs: k, forward: this.packing(n, k, own), backward: this.packing(k, n, own) };
      this.weights.set(name, held);
    }
    this.packRows(w, held.forward);
    this.packCols(w, held.backward);
    return held;
  }

  /** x [R, K] -> x . w^T [R, N]; the gradient needs x. */
  linear(x: Matrix, w: Weight): Matrix {
    const y = this.matrix(x.rows, w.outputs);
    const rows = this.packRows(x, this.packing(x.rows, w.inputs));
    this.gemm(rows, w.forward, x.rows, w.outputs, w.inputs, y.at, false);
    return y;
  }

  /** dy [R, N] -> dx [R, K]; dw [N, K] is set or added to. */
  linearGrad(dy: Matrix, x: Matrix, w: Weight, dw: number, accumulate: boolean): Matrix {
    const rows = dy.rows;
    const dx = this.matrix(rows, w.inputs);
    const left = this.packCols(dy, this.packing(w.outputs, rows));
    const right = this.packCols(x, this.packing(w.inputs, rows));
    this.gemm(left, right, w.outputs, w.inputs, rows, dw, accumulate);
    this.gemm(
      this.packRows(dy, this.packing(rows, w.outputs)),
      w.backward,
      rows,
      w.inputs,
      w.outputs,
      dx.at,
      false,
    );
    return dx;
  }

  rmsnorm(x: Matrix): Norm {
    const y = this.matrix(x.rows, x.cols);
    const r = this.arena.take(x.rows * WORD);
    this.kernels.calls.ponw_rmsnorm(x.at, x.rows, x.cols, Math.fround(1 / x.cols), RMS_EPS, y.at, r);
    return { y, r };
  }

  /** Gradient of rmsnorm, added to `into` when given. */
  rmsnormGrad(dy: Matrix, saved: Norm, into?: Matrix): Matrix {
    const { rows, cols } = saved.y;
    const dx = into ?? this.matrix(rows, cols);
    const inverse = Math.fround(1 / cols);
    this.kernels.calls.ponw_rmsnorm_grad(
      dy.at,
      saved.y.at,
      saved.r,
      rows,
      cols,
      inverse,
      dx.at,
      into ? 1 : 0,
    );
    return dx;
  }

  relu2(h: Matrix): Matrix {
    const y = this.matrix(h.rows, h.cols);
    this.kernels.calls.ponw_relu2(h.at, h.rows * h.cols, y.at);
    return y;
  }

  relu2Grad(dy: Matrix, h: Matrix): Matrix {
    this.kernels.calls.ponw_relu2_grad(dy.at, h.at, h.rows * h.cols, dy.at);
    return dy;
  }

  private attentionWork(length: number, headWidth: number): number {
    return this.scratch("attention", this.kernels.calls.ponw_attention_work(length, headWidth, 1));
  }

  /** qkv [B*T, 3d] -> causal attention with a base-2 softmax [B*T, d]. */
  attention(qkv: Matrix, sequences: number, heads: number): [Matrix, Attention] {
    const d = qkv.cols / 3,
      length = qkv.rows / sequences,
      dh = d / heads;
    const p = this.arena.take(sequences * heads * length * length * WORD);
    const o = this.matrix(qkv.rows, d);
    const work = this.attentionWork(length, dh);
    const scale = Math.fround(rootScale(dh) * LOG2E);
    this.kernels.calls.ponw_attention(qkv.at, sequences, length, heads, dh, scale, p, o.at, work);
    return [o, { qkv, p, sequences, heads }];
  }

  attentionGrad(dout: Matrix, saved: Attention): Matrix {
    const { qkv, p, sequences, heads } = saved;
    const d = qkv.cols / 3,
      length = qkv.rows / sequences,
      dh = d / heads;
    const dqkv = this.matrix(qkv.rows, 3 * d);
    const work = this.attentionWork(length, dh);
    this.kernels.calls.ponw_attention_grad(
      dout.at,
      qkv.at,
      p,
      sequences,
      length,
      heads,
      dh,
      rootScale(dh),
      dqkv.at,
      work,
    );
    return dqkv;
  }

  /** a + b, in place of b. */
  add(a: Matrix, b: Matrix): Matrix {
    this.kernels.calls.ponw_add(a.at, b.at, a.rows * a.cols, b.at);
    return b;
  }

  /** int32 tokens [R] -> table[token] + position [R, d]. */
  embed(tokens: number, rows: number, table: Matrix, position: Matrix): Matrix {
    const x = this.matrix(rows, table.cols);
    this.kernels.calls.ponw_embed(tokens, table.at, position.at, rows, position.rows, table.cols, x.at);
    return x;
  }

  embedGrad(tokens: number, dx: Matrix, table: Matrix, position: Matrix, accumulate: boolean): void {
    const work = this.scratch("embed", (table.rows + position.rows) * table.cols);
    this.kernels.calls.ponw_embed_grad(
      tokens,
      dx.at,
      dx.rows,
      position.rows,
      table.rows,
      table.cols,
      work,
      table.at,
      position.at,
      accumulate ? 1 : 0,
    );
  }

  /** Turns logits into their gradient times `scale`; the sum of round(loss * 2^16) in nats. */
  crossEntropy(logits: Matrix, targets: number, scale: number): number {
    return Number(this.kernels.calls.ponw_cross_entropy(logits.at, targets, logits.rows, logits.cols, scale));
  }

  /** One AdamW step in place; false when a weight is no longer finite. */
  adamw(w: number, m: number, v: number, g: number, count: number, constants: Float32Array): boolean {
    const at = this.scratch("adamw", 16);
    this.kernels.floats(at, constants.length).set(constants);
    return this.kernels.calls.ponw_adamw(w, m, v, g, count, at) !== 0;
  }
}
