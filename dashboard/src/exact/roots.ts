/** Roots of tensors, states and batches: consensus/commitments over SHA-256 and RFC 9162 trees. */

import type { Shape } from "./architecture";
import type { Kernels } from "./kernels";
import { type Matrices, of } from "./model";

const HASH = 32;

export class Roots {
  private readonly small: number;
  private readonly smallSize = 4096;
  private readonly out: number;
  private large = 0;
  private largeSize = 0;

  constructor(private readonly kernels: Kernels) {
    this.small = kernels.take(this.smallSize);
    this.out = kernels.take(HASH);
  }

  private result(): Uint8Array {
    return this.kernels.bytes(this.out, HASH).slice();
  }

  private put(data: Uint8Array): void {
    if (data.length > this.smallSize) throw new RangeError("too much for a small hash");
    this.kernels.bytes(this.small, data.length).set(data);
  }

  sha256(data: Uint8Array): Uint8Array {
    this.put(data);
    this.kernels.calls.ponw_sha256(this.small, data.length, this.out);
    return this.result();
  }

  /** sha256 of any amount of data. */
  digest(data: Uint8Array): Uint8Array {
    if (data.length > this.largeSize) {
      this.large = this.kernels.take(data.length);
      this.largeSize = data.length;
    }
    this.kernels.bytes(this.large, data.length).set(data);
    this.kernels.calls.ponw_sha256(this.large, data.length, this.out);
    return this.result();
  }

  /** The least nonce with sha256(stem ‖ nonce u64 BE) beginning with `bits` zero bits, from `from` on, among `tries`. */
  solve(stem: Uint8Array, bits: number, from: number, tries: number): number | undefined {
    const nonceAt = this.small + stem.length;
    this.put(join(stem, new Uint8Array(8)));
    const nonce = new DataView(this.kernels.memory.buffer, nonceAt, 8);
    const out = new DataView(this.kernels.memory.buffer, this.out, 8);
    for (let n = from; n < from + tries; n++) {
      nonce.setBigUint64(0, BigInt(n));
      this.kernels.calls.ponw_sha256(this.small, stem.length + 8, this.out);
      if (leadingZeros(out) >= bits) return n;
    }
    return undefined;
  }

  leaf(data: Uint8Array): Uint8Array {
    this.put(data);
    this.kernels.calls.ponw_leaf_hash(this.small, data.length, this.out);
    return this.result();
  }

  node(left: Uint8Array, right: Uint8Array): Uint8Array {
    return this.sha256(join(Uint8Array.of(1), left, right));
  }

  /** Root over hashes of leaves: neighbours paired, an odd last one moves up as it is. */
  root(leaves: Uint8Array[]): Uint8Array {
    if (leaves.length === 0) return this.sha256(new Uint8Array());
    let level = leaves;
    while (level.length > 1) {
      const above: Uint8Array[] = [];
      for (let i = 0; i + 1 < level.length; i += 2) above.push(this.node(level[i]!, level[i + 1]!));
      if (level.length % 2) above.push(level[level.length - 1]!);
      level = above;
    }
    return level[0]!;
  }

  tensor(at: number, bytes: number): Uint8Array {
    this.kernels.calls.ponw_tensor_root(at, bytes, this.out);
    return this.result();
  }

  /** Root of a set of fp32 matrices; `shapes` in sorted order of names. */
  set(shapes: Shape[], tensors: Matrices): Uint8Array {
    const leaves = shapes.map(({ name, dims }) => {
      const tensor = of(tensors, name);
      return this.leaf(join(describe(name, dims), this.tensor(tensor.at, dims[0] * dims[1] * 4)));
    });
    return this.root(leaves);
  }

  /** Root of a training state: three leaves, the roots of weights and both moments. */
  state(shapes: Shape[], sets: Matrices[]): Uint8Array {
    return this.root(sets.map((tensors) => this.leaf(this.set(shapes, tensors))));
  }

  /** Root of a trace: 72-byte leaves (state root, batch root, loss bits, step). */
  trace(leaves: { stateRoot: Uint8Array; batchRoot: Uint8Array; lossBits: number }[]): Uint8Array {
    return this.root(
      leaves.map((leaf, step) => {
        const tail = new DataView(new ArrayBuffer(8));
        tail.setUint32(0, leaf.lossBits);
        tail.setUint32(4, step);
        return this.leaf(join(leaf.stateRoot, leaf.batchRoot, new Uint8Array(tail.buffer)));
      }),
    );
  }
}

function describe(name: string, dims: [number, number]): Uint8Array {
  const sizes = new DataView(new ArrayBuffer(8));
  sizes.setUint32(0, dims[0]);
  sizes.setUint32(4, dims[1]);
  const text = new TextEncoder().encode(`${name}\0float32\0`);
  return join(text, Uint8Array.of(dims.length), new Uint8Array(sizes.buffer));
}

export function join(...parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

export function hex(data: Uint8Array): string {
  return Array.from(data, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export function unhex(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: text.length / 2 }, (_, i) =>
    Number.parseInt(text.slice(2 * i, 2 * i + 2), 16),
  );
}

function leadingZeros(first: DataView): number {
  const high = first.getUint32(0);
  return high === 0 ? 32 + Math.clz32(first.getUint32(4)) : Math.clz32(high);
}
