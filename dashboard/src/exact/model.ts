/** Forward and backward pass: consensus/model/gpt.py, op for op. */

import { type Architecture, layerName } from "./architecture";
import type { Attention, Engine, Matrix, Norm, Weight } from "./engine";

export type Matrices = Map<string, Matrix>;
export type PackedWeights = Map<string, Weight>;

interface Layer {
  norm1: Norm;
  attention: Attention;
  o: Matrix;
  norm2: Norm;
  h: Matrix;
  f: Matrix;
}

export function of<T>(all: Map<string, T>, name: string): T {
  const found = all.get(name);
  if (found === undefined) throw new Error(`the model has no ${name}`);
  return found;
}

/** Quantises every matrix that multiplies activations, once a step. */
export function pack(engine: Engine, weights: Matrices): PackedWeights {
  const packed: PackedWeights = new Map();
  for (const [name, w] of weights) {
    if (name !== "embed" && name !== "position") packed.set(name, engine.packWeight(name, w));
  }
  return packed;
}

function layerForward(
  engine: Engine,
  packed: PackedWeights,
  i: number,
  x: Matrix,
  sequences: number,
  heads: number,
): [Matrix, Layer] {
  const name = layerName(i);
  const norm1 = engine.rmsnorm(x);
  const qkv = engine.linear(norm1.y, of(packed, `${name}attn_in`));
  const [o, attention] = engine.attention(qkv, sequences, heads);
  const middle = engine.add(x, engine.linear(o, of(packed, `${name}attn_out`)));
  const norm2 = engine.rmsnorm(middle);
  const h = engine.linear(norm2.y, of(packed, `${name}mlp_in`));
  const f = engine.relu2(h);
  const out = engine.add(middle, engine.linear(f, of(packed, `${name}mlp_out`)));
  return [out, { norm1, attention, o, norm2, h, f }];
}

function layerBackward(
  engine: Engine,
  packed: PackedWeights,
  i: number,
  dx: Matrix,
  s: Layer,
  grads: Matrices,
  accumulate: boolean,
): Matrix {
  const name = layerName(i);
  const linear = (dy: Matrix, x: Matrix, part: string): Matrix =>
    engine.linearGrad(dy, x, of(packed, name + part), of(grads, name + part).at, accumulate);
  const dh = engine.relu2Grad(linear(dx, s.f, "mlp_out"), s.h);
  const middle = engine.rmsnormGrad(linear(dh, s.norm2.y, "mlp_in"), s.norm2, dx);
  const dqkv = engine.attentionGrad(linear(middle, s.o, "attn_out"), s.attention);
  return engine.rmsnormGrad(linear(dqkv, s.norm1.y, "attn_in"), s.norm1, middle);
}

/** One micro-batch: sets or adds to `grads`. Returns the sum of round(loss * 2^16) over its tokens. */
export function lossAndGrads(
  engine: Engine,
  a: Architecture,
  weights: Matrices,
  packed: PackedWeights,
  batch: { inputs: number; targets: number; sequences: number },
  scale: number,
  grads: Matrices,
  accumulate: boolean,
): number {
  engine.begin();
  const rows = batch.sequences * a.seq_len;
  let x = engine.embed(batch.inputs, rows, of(weights, "embed"), of(weights, "position"));
  const layers: Layer[] = [];
  for (let i = 0; i < a.layers; i++) {
    const [next, saved] = layerForward(engine, packed, i, x, batch.sequences, a.heads);
    layers.push(saved);
    x = next;
  }
  const norm = engine.rmsnorm(x);
  const head = of(packed, "head");
  const logits = engine.linear(norm.y, head);
  const total = engine.crossEntropy(logits, batch.targets, scale);
  let dx = engine.rmsnormGrad(
    engine.linearGrad(logits, norm.y, head, of(grads, "head").at, accumulate),
    norm,
  );
  for (let i = a.layers - 1; i >= 0; i--)
    dx = layerBackward(engine, packed, i, dx, layers[i]!, grads, accumulate);
  engine.embedGrad(batch.inputs, dx, of(grads, "embed"), of(grads, "position"), accumulate);
  return total;
}
