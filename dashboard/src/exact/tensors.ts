/** fp32 tensors as files: safetensors to read, and the one canonical form of node/gateway/payload.py to write. */

import { elements, type Shape } from "./architecture";
import { of } from "./model";
import { join } from "./roots";

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

const HEADER_LIMIT = 4 << 20;

/** The tensors of a safetensors file, which must be exactly these. Throws Error. */
export function readTensors(file: ArrayBuffer, shapes: Shape[]): Map<string, Float32Array> {
  const view = new DataView(file);
  const length = file.byteLength < 8 ? HEADER_LIMIT + 1 : Number(view.getBigUint64(0, true));
  if (length > HEADER_LIMIT || 8 + length > file.byteLength)
    throw new Error("The model's file has no readable header.");
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length))) as Record<
    string,
    Entry | undefined
  >;
  const tensors = new Map<string, Float32Array>();
  for (const shape of shapes) {
    const entry = header[shape.name];
    if (entry?.dtype !== "F32" || entry.shape.join() !== shape.dims.join()) {
      throw new Error(`The model's file has no ${shape.name} of this shape.`);
    }
    const [start, stop] = entry.data_offsets;
    if (stop - start !== elements(shape) * 4 || 8 + length + stop > file.byteLength) {
      throw new Error(`The model's file has a wrong place for ${shape.name}.`);
    }
    tensors.set(shape.name, new Float32Array(file.slice(8 + length + start, 8 + length + stop)));
  }
  return tensors;
}

/** Equal tensors are equal bytes: names in order, no metadata, padded with spaces to 8 bytes. */
export function rawBytes(shapes: Shape[], tensors: Map<string, Float32Array>): Uint8Array<ArrayBuffer> {
  const named = [...shapes].sort((x, y) => (x.name < y.name ? -1 : 1));
  let at = 0;
  const entries = named.map((shape) => {
    const start = at;
    at += elements(shape) * 4;
    return `${JSON.stringify(shape.name)}:{"dtype":"F32","shape":[${shape.dims.join()}],"data_offsets":[${start},${at}]}`;
  });
  const text = new TextEncoder().encode(`{${entries.join()}}`);
  const head = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(head.buffer).setBigUint64(0, BigInt(head.length - 8), true);
  head.set(text, 8);
  const data = named.map(({ name }) => {
    const values = of(tensors, name);
    return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  });
  return join(head, ...data);
}
