/** How an update travels: consensus/aggregation/compression, byte for byte. */

import { elements, type Shape } from "./architecture";
import { of } from "./model";
import { join } from "./roots";

type Encoder = (x: Float32Array) => Uint8Array;
type Decoder = (data: Uint8Array, elements: number) => Float32Array;

interface Codec {
  number: number;
  size(elements: number): number;
  encode: Encoder;
  decode: Decoder;
}

const words = new DataView(new ArrayBuffer(4));
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

/** Two bits an element: all levels (two bf16 LE a block of 256), then all codes (2 * negative + upper), four a byte. */
export function fourLevel(x: Float32Array): Uint8Array {
  const blocks = Math.ceil(x.length / INT8_BLOCK);
  const out = new DataView(new ArrayBuffer(4 * blocks + Math.ceil(x.length / 4)));
  for (let b = 0; b < blocks; b++) {
    const at = b * INT8_BLOCK;
    const block = x.subarray(at, Math.min(at + INT8_BLOCK, x.length));
    const ranked = block.map(Math.abs).sort();
    const place = (hundredth: number): number => ranked[Math.floor((block.length * hundredth) / 100)]!;
    const words = [bf16(place(35)), bf16(Math.max(place(87), ranked[block.length - 1]! * 0.5))] as const;
    const [lower, upper] = words.map(fromBf16) as [number, number];
    out.setUint16(4 * b, words[0], true);
    out.setUint16(4 * b + 2, words[1], true);
    block.forEach((value, i) => {
      const size = Math.abs(value);
      const high = Math.abs(Math.fround(upper - size)) < Math.abs(Math.fround(size - lower));
      const code = (high ? 1 : 0) + (value < 0 ? 2 : 0);
      const byte = 4 * blocks + ((at + i) >> 2);
      out.setUint8(byte, out.getUint8(byte) | (code << (2 * ((at + i) & 3))));
    });
  }
  return new Uint8Array(out.buffer);
}

function fourLevelDecoded(data: Uint8Array, count: number): Float32Array {
  const blocks = Math.ceil(count / INT8_BLOCK);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return Float32Array.from({ length: count }, (_, i) => {
    const code = (view.getUint8(4 * blocks + (i >> 2)) >> (2 * (i & 3))) & 3;
    const level = fromBf16(view.getUint16(4 * Math.floor(i / INT8_BLOCK) + 2 * (code & 1), true));
    return code >> 1 ? -level : level;
  });
}

function topkDecoded(data: Uint8Array, count: number): Float32Array {
  const out = new Float32Array(count);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  let from = 0;
  for (let at = 0; at < count; at += BLOCK) {
    const kept = Math.ceil(Math.min(BLOCK, count - at) / 100);
    for (let i = 0; i < kept; i++) {
      out[at + view.getUint16(from + 2 * i, true)] = fromBf16(view.getUint16(from + 2 * (kept + i), true));
    }
    from += 4 * kept;
  }
  return out;
}

function int8Decoded(data: Uint8Array, count: number): Float32Array {
  const blocks = Math.ceil(count / INT8_BLOCK);
  const all = new Int8Array(data.buffer, data.byteOffset, data.byteLength);
  return Float32Array.from(
    { length: count },
    (_, i) => all[blocks + i]! * 2 ** all[Math.floor(i / INT8_BLOCK)]!,
  );
}

const kept = (width: number): number => 4 * Math.ceil(width / 100);

const CODECS: Record<string, Codec> = {
  int8: { number: 1, size: (n) => n + Math.ceil(n / INT8_BLOCK), encode: int8, decode: int8Decoded },
  topk: {
    number: 2,
    size: (n) => Math.floor(n / BLOCK) * kept(BLOCK) + (n % BLOCK ? kept(n % BLOCK) : 0),
    encode: topk,
    decode: topkDecoded,
  },
  fourlevel: {
    number: 4,
    size: (n) => 4 * Math.ceil(n / INT8_BLOCK) + Math.ceil(n / 4),
    encode: fourLevel,
    decode: fourLevelDecoded,
  },
};
const HEADER = 16;

function codecOf(name: string): Codec {
  const chosen = CODECS[name];
  if (!chosen) throw new Error(`this page cannot encode ${name}`);
  return chosen;
}

/** Magic, codec, elements, then every tensor in order of names. Throws where a value is not finite. */
export function encodeUpdate(
  codec: string,
  shapes: Shape[],
  update: Map<string, Float32Array>,
): Uint8Array<ArrayBuffer> {
  const chosen = codecOf(codec);
  const header = new DataView(new ArrayBuffer(HEADER));
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

/** Rounded to the nearest finite bf16 number, ties to even; its 16 bits. */
function bf16(x: number): number {
  words.setFloat32(0, Math.max(-BF16_MAX, Math.min(BF16_MAX, x)));
  const bits = words.getUint32(0);
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff;
}

function fromBf16(word: number): number {
  words.setUint32(0, word << 16);
  return words.getFloat32(0);
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

/** What an encoding of `encodeUpdate` decodes to. */
export function decodeUpdate(codec: string, shapes: Shape[], data: Uint8Array): Map<string, Float32Array> {
  const chosen = codecOf(codec);
  const update = new Map<string, Float32Array>();
  let at = HEADER;
  for (const shape of shapes) {
    const size = chosen.size(elements(shape));
    update.set(shape.name, chosen.decode(data.subarray(at, at + size), elements(shape)));
    at += size;
  }
  return update;
}

export interface Sent {
  payload: Uint8Array<ArrayBuffer>;
  /** What the encoding left out, for the next upload (consensus/aggregation/compression/feedback.py). */
  left: Map<string, Float32Array>;
}

/** Encodes an update with what was left out before. */
export function sendWithFeedback(
  codec: string,
  shapes: Shape[],
  update: Map<string, Float32Array>,
  left: Map<string, Float32Array>,
): Sent {
  const due = new Map<string, Float32Array>();
  for (const { name } of shapes) {
    const before = of(left, name);
    due.set(
      name,
      of(update, name).map((value, i) => value + before[i]!),
    );
  }
  const payload = encodeUpdate(codec, shapes, due);
  const decoded = decodeUpdate(codec, shapes, payload);
  const after = new Map<string, Float32Array>();
  for (const [name, values] of due) {
    const seen = of(decoded, name);
    after.set(
      name,
      values.map((value, i) => value - seen[i]!),
    );
  }
  return { payload, left: after };
}
