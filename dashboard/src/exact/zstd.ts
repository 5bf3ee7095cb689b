/** A zstd frame (RFC 8878) of raw blocks: what is sent is dense already, so nothing is won by packing it in a page. */

import { join } from "./roots";

const BLOCK = 128 << 10;
const WINDOW_128_KIB = 7 << 3;

export function zstdFrame(data: Uint8Array): Uint8Array<ArrayBuffer> {
  const header = new DataView(new ArrayBuffer(10));
  header.setUint32(0, 0xfd2fb528, true);
  header.setUint8(4, 0x80); // content size in four bytes, no checksum
  header.setUint8(5, WINDOW_128_KIB);
  header.setUint32(6, data.length, true);
  const parts: Uint8Array[] = [new Uint8Array(header.buffer)];
  for (let at = 0; at < data.length || at === 0; at += BLOCK) {
    const block = data.subarray(at, at + BLOCK);
    const last = at + BLOCK >= data.length ? 1 : 0;
    const size = (block.length << 3) | last;
    parts.push(Uint8Array.of(size & 0xff, (size >> 8) & 0xff, size >> 16), block);
  }
  return join(...parts);
}
