/** How an update travels: consensus/aggregation/compression, byte for byte. */

import { elements, type Shape } from "./architecture";
import { of } from "./model";
import { join } from "./roots";

type Encoder = (x: Float32Array) => Uint8Array;
const BLOCK = 4096;
const INT8_BLOCK = 256;
const BF16_MAX = 3.3895313892515355e38;
const [LEAST, MOST] = [-120, 121];

/** The largest hundredth of each block: places (u16 LE, rising), then their values (bf16 LE). */
export function topk(x: Float32Array): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < x.length; at += BLOCK) {
    const block = x.subarray(at, Math.min(at + BLOCK, x.length));
    const count = Math.ceil(block.length / 100);
    const order = Array.from(block.keys());
    order.sort((i, j) => Math.abs(block[j]!) - Math.abs(block[i]!) || i - j);
    const places = order.slice(0, count).sort((i, j) => i - j);
    const out = new DataView(new ArrayBuffer(4 * count));
    places.forEach((place, i) => {
      out.setUint16(2 * i, place, true);
      out.setUint16(2 * (count + i), bf16(block[place]!), true);
    });
    parts.push(new Uint8Array(out.buffer));
  }
  return join(...parts);
}

/** int8 with a power-of-two scale for each 256 elements: all exponents, then all elements. */
export function int8(x: Float32Array): Uint8Array {
  const blocks = Math.ceil(x.length / INT8_BLOCK);
  const out = new Int8Array(blocks + x.length);
  for (let b = 0; b < blocks; b++) {
    const block = x.subarray(b * INT8_BLOCK, Math.min((b + 1) * INT8_BLOCK, x.length));
    const exponent = exponentOf(block.reduce((most, value) => Math.max(most, Math.abs(value)), 0));
    out[b] = exponent;
    const rate = 2 ** -exponent;
    block.forEach((value, i) => {
      out[blocks + b * INT8_BLOCK + i] = Math.max(-127, Math.min(127, nearest(Math.fround(value * rate))));
    });
  }
  return new Uint8Array(out.buffer);
}

export const CODECS: Record<string, { number: number; encode: Encoder }> = {
  int8: { number: 1, encode: int8 },
  topk: { number: 2, encode: topk },
};

/** Magic, codec, elements, then every tensor in order of names. Throws where a value is not finite. */
export function encodeUpdate(codec: string, shapes: Shape[], update: Map<string, Float32Array>): Uint8Array<ArrayBuffer> {
  const chosen = CODECS[codec];
  if (!chosen) throw new Error(`this page cannot encode ${codec}`);
  const header = new DataView(new ArrayBuffer(16));
  header.setUint32(0, 0x50555031);
  header.setUint8(4, chosen.number);
  header.setBigUint64(8, BigInt(shapes.reduce((sum, shape) => sum + elements(shape), 0)), true);
  const parts = shapes.map(({ name }) => {
    const x = of(update, name);
    if (!x.every(Number.isFinite)) throw new Error(`${name} is not all finite numbers`);
    return chosen.encode(x);
  });
  return join(new Uint8Array(header.buffer), ...parts);
}

const words = new DataView(new ArrayBuffer(4));

/** Rounded to the nearest finite bf16 number, ties to even; its 16 bits. */
function bf16(x: number): number {
  words.setFloat32(0, Math.max(-BF16_MAX, Math.min(BF16_MAX, x)));
  const bits = words.getUint32(0);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The least exponent e with round(top / 2**e) <= 127. */
function exponentOf(top: number): number {
  words.setFloat32(0, top);
  const clamp = (e: number): number => Math.max(LEAST, Math.min(MOST, e));
  const e = clamp((words.getUint32(0) >>> 23) - 127 - 6);
  return clamp(nearest(Math.fround(top * 2 ** -e)) > 127 ? e + 1 : e);
}

/** Half to even. */
function nearest(x: number): number {
  const down = Math.floor(x);
  const rest = x - down;
  if (rest !== 0.5) return Math.round(x);
  return down % 2 === 0 ? down : down + 1;
}
