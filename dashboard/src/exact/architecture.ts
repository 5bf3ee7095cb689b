/** Shapes of the model, as consensus/model/config.py gives them. */

export interface Architecture {
  name: string;
  layers: number;
  width: number;
  heads: number;
  seq_len: number;
  batch: number;
  vocab: number;
  young: number;
  age: number;
}

export interface Shape {
  name: string;
  dims: [number, number];
}

/** Terms that one integer product contracts, and tokens of a micro-batch. */
export const BLOCK = 512;
const RATE_STEPS = 1000;
const RATE_START_BPS = 1000;
const BPS = 10000;

export function layerName(layer: number): string {
  return `layer${String(layer).padStart(3, "0")}.`;
}

/** Every weight in sorted order of names; a matrix is [outputs, inputs]. */
export function shapes(a: Architecture): Shape[] {
  const d = a.width;
  const all: Shape[] = [
    { name: "embed", dims: [a.vocab, d] },
    { name: "position", dims: [a.seq_len, d] },
    { name: "head", dims: [a.vocab, d] },
  ];
  for (let i = 0; i < a.layers; i++) {
    all.push({ name: `${layerName(i)}attn_in`, dims: [3 * d, d] });
    all.push({ name: `${layerName(i)}attn_out`, dims: [d, d] });
    all.push({ name: `${layerName(i)}mlp_in`, dims: [4 * d, d] });
    all.push({ name: `${layerName(i)}mlp_out`, dims: [d, 4 * d] });
  }
  return all.sort((x, y) => (x.name < y.name ? -1 : 1));
}

export function elements(shape: Shape): number {
  return shape.dims[0] * shape.dims[1];
}

export function microBatch(a: Architecture): number {
  return Math.min(a.batch, BLOCK / a.seq_len);
}

/** Whether a weight belongs to a young layer, which learns at a lower rate. */
export function isYoung(a: Architecture, name: string): boolean {
  if (a.young === 0 || !name.startsWith("layer")) return false;
  return Number(name.slice(5, 8)) >= a.layers - a.young;
}

/** Constants of one AdamW step (consensus/training/optimizer.py), from fp64 basics, each rounded once to fp32. */
export function adamw(step: number, age?: number): Float32Array {
  const base = 0.003,
    beta1 = 0.9,
    beta2 = 0.95,
    eps = 1e-8,
    decay = 0.01,
    warmup = 10;
  let power1 = 1,
    power2 = 1;
  for (let i = 0; i <= step; i++) {
    power1 *= beta1;
    power2 *= beta2;
  }
  let lr = (base * Math.min(step + 1, warmup)) / warmup;
  if (age !== undefined && age < RATE_STEPS) {
    lr =
      (lr * (RATE_START_BPS * RATE_STEPS + (BPS - RATE_START_BPS) * Math.min(age, RATE_STEPS))) /
      (BPS * RATE_STEPS);
  }
  const correct1 = 1 / (1 - power1),
    correct2 = 1 / (1 - power2);
  return Float32Array.of(beta1, 1 - beta1, beta2, 1 - beta2, correct1, correct2, eps, lr, 1 - lr * decay);
}
