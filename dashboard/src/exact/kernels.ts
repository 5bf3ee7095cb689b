/** The compiled kernels (consensus/arithmetic/native/wasm): pointers are byte offsets into `memory`. */

export interface Calls {
  ponw_pack_rows(x: number, ld: number, rows: number, k: number, out: number, scale: number): void;
  ponw_pack_cols(x: number, ld: number, rows: number, cols: number, out: number, scale: number): void;
  ponw_gemm(
    a: number,
    sa: number,
    b: number,
    sb: number,
    m: number,
    n: number,
    k: number,
    c: number,
    ldc: number,
    accumulate: number,
  ): void;
  ponw_rmsnorm(x: number, rows: number, d: number, inverse: number, eps: number, y: number, r: number): void;
  ponw_rmsnorm_grad(
    dy: number,
    y: number,
    r: number,
    rows: number,
    d: number,
    inverse: number,
    dx: number,
    add: number,
  ): void;
  ponw_relu2(h: number, n: number, y: number): void;
  ponw_relu2_grad(dy: number, h: number, n: number, dh: number): void;
  ponw_add(a: number, b: number, n: number, out: number): void;
  ponw_embed(
    tokens: number,
    table: number,
    position: number,
    rows: number,
    length: number,
    d: number,
    x: number,
  ): void;
  ponw_embed_grad(
    tokens: number,
    dx: number,
    rows: number,
    length: number,
    vocab: number,
    d: number,
    work: number,
    table: number,
    position: number,
    accumulate: number,
  ): void;
  ponw_cross_entropy(logits: number, targets: number, rows: number, vocab: number, scale: number): bigint;
  ponw_attention_work(length: number, headWidth: number, threads: number): number;
  ponw_attention(
    qkv: number,
    sequences: number,
    length: number,
    heads: number,
    headWidth: number,
    scale: number,
    p: number,
    o: number,
    work: number,
  ): void;
  ponw_attention_grad(
    dout: number,
    qkv: number,
    p: number,
    sequences: number,
    length: number,
    heads: number,
    headWidth: number,
    scale: number,
    dqkv: number,
    work: number,
  ): void;
  ponw_adamw(w: number, m: number, v: number, g: number, n: number, constants: number): number;
  ponw_sha256(data: number, size: number, out: number): void;
  ponw_leaf_hash(data: number, size: number, out: number): void;
  ponw_tensor_root(data: number, size: number, out: number): void;
  __heap_base: WebAssembly.Global;
}

const PAGE = 65536;
const PAGES_MAX = 32768; // 2 GiB
const LINE = 64;

/** Kernels and their memory. What `take` gives stays; what an Arena gives lasts until it is rewound. */
export class Kernels {
  private at: number;

  private constructor(
    readonly calls: Calls,
    readonly memory: WebAssembly.Memory,
  ) {
    this.at = Number(calls.__heap_base.value);
  }

  /** Throws WebAssembly.CompileError where the browser has no 128-bit SIMD. */
  static async load(bytes: BufferSource): Promise<Kernels> {
    const memory = new WebAssembly.Memory({ initial: 64, maximum: PAGES_MAX });
    const { instance } = await WebAssembly.instantiate(bytes, { env: { memory } });
    return new Kernels(instance.exports as unknown as Calls, memory);
  }

  /** Room for so many bytes at a 64-byte boundary. Throws RangeError beyond 2 GiB. */
  take(bytes: number): number {
    const start = Math.ceil(this.at / LINE) * LINE;
    this.at = start + bytes;
    const missing = this.at - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return start;
  }

  /** Views are good until the next `take`, which may move the memory. */
  bytes(at: number, size: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, at, size);
  }

  floats(at: number, count: number): Float32Array {
    return new Float32Array(this.memory.buffer, at, count);
  }

  ints(at: number, count: number): Int32Array {
    return new Int32Array(this.memory.buffer, at, count);
  }
}

/** Room that is used anew for every micro-batch. */
export class Arena {
  private chunks: { at: number; size: number }[] = [];
  private chunk = 0;
  private used = 0;

  constructor(
    private readonly kernels: Kernels,
    private readonly chunkBytes = 8 << 20,
  ) {}

  rewind(): void {
    this.chunk = 0;
    this.used = 0;
  }

  take(bytes: number): number {
    const size = Math.ceil(bytes / LINE) * LINE;
    for (; this.chunk < this.chunks.length; this.chunk++, this.used = 0) {
      const held = this.chunks[this.chunk]!;
      if (this.used + size > held.size) continue;
      this.used += size;
      return held.at + this.used - size;
    }
    const whole = Math.max(size, this.chunkBytes);
    this.chunks.push({ at: this.kernels.take(whole), size: whole });
    this.chunk = this.chunks.length - 1;
    this.used = size;
    return this.chunks[this.chunk]!.at;
  }
}
