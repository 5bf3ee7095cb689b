/*
 * RFC 9162 roots of tensors: SHA-256 over 1,024-byte leaves.
 *
 * Leaf hash: sha256(0x00 || leaf). Node hash: sha256(0x01 || left || right). An empty tensor has the root of the empty
 * tree, sha256(""). Two ways to hash, equal in every bit:
 *   - SHA-NI: one stream waits for its own last round most of the time, so STREAMS independent leaves go in step;
 *   - AVX-512, where present: LANES leaves, one in each 32-bit lane.
 * Leaves go to threads in subtrees of SUBTREE leaves: a power of two, so each is a whole subtree of the tree and its
 * nodes are built while its hashes are still in cache.
 */
#include <Python.h>
#include <immintrin.h>
#include <omp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))
#define LEAF 1024u
#define SUBTREE 256u
#define HASH 32u
#define LANES 16u
#ifndef STREAMS
#define STREAMS 4
#endif

#define WIDE __attribute__((target("avx512f,avx512bw")))

/* FIPS 180-4, 4.2.2 */
static const uint32_t K[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

/* The state in the order the instructions want: (a, b, e, f) and (c, d, g, h), highest lane first. */
typedef struct {
    __m128i abef, cdgh;
} State;

static inline State initial(void) {
    return (State){_mm_set_epi32(0x6a09e667, (int)0xbb67ae85, 0x510e527f, (int)0x9b05688c),
                   _mm_set_epi32(0x3c6ef372, (int)0xa54ff53a, 0x1f83d9ab, 0x5be0cd19)};
}

static inline __m128i big_endian(__m128i words) {
    return _mm_shuffle_epi8(words, _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
}

static inline void store(State state, uint8_t out[HASH]) {
    __m128i feba = _mm_shuffle_epi32(state.abef, 0x1B), dchg = _mm_shuffle_epi32(state.cdgh, 0xB1);
    _mm_storeu_si128((__m128i *)out, big_endian(_mm_blend_epi16(feba, dchg, 0xF0)));
    _mm_storeu_si128((__m128i *)(out + 16), big_endian(_mm_alignr_epi8(dchg, feba, 8)));
}

/* One 64-byte block into each of `streams` states. `streams` is a constant at every call, so all loops unroll. */
static inline __attribute__((always_inline)) void compress(State *state, const uint8_t *const *block, const int streams) {
    __m128i w[STREAMS][4], a[STREAMS], c[STREAMS];
    for (int s = 0; s < streams; s++) a[s] = state[s].abef, c[s] = state[s].cdgh;
#pragma GCC unroll 16
    for (int g = 0; g < 16; g++) {
        const __m128i k = _mm_load_si128((const __m128i *)(K + 4 * g));
#pragma GCC unroll 8
        for (int s = 0; s < streams; s++) {
            __m128i *v = &w[s][g & 3];
            if (g < 4) {
                *v = big_endian(_mm_loadu_si128((const __m128i *)(block[s] + 16 * g)));
            } else {
                const __m128i last = w[s][(g + 3) & 3];
                const __m128i nine = _mm_alignr_epi8(last, w[s][(g + 2) & 3], 4);
                *v = _mm_sha256msg2_epu32(_mm_add_epi32(_mm_sha256msg1_epu32(*v, w[s][(g + 1) & 3]), nine), last);
            }
            const __m128i wk = _mm_add_epi32(*v, k);
            c[s] = _mm_sha256rnds2_epu32(c[s], a[s], wk);
            a[s] = _mm_sha256rnds2_epu32(a[s], c[s], _mm_shuffle_epi32(wk, 0x0E));
        }
    }
    for (int s = 0; s < streams; s++) {
        state[s].abef = _mm_add_epi32(state[s].abef, a[s]);
        state[s].cdgh = _mm_add_epi32(state[s].cdgh, c[s]);
    }
}

/* The end of a message of `length` bytes: its last `rest` bytes, 0x80, zeros, the length in bits. Returns the blocks. */
static inline int pad(uint8_t tail[128], const uint8_t *bytes, size_t rest, uint64_t length) {
    const int blocks = rest + 9 > 64 ? 2 : 1;
    memset(tail, 0, 128);
    if (rest) memcpy(tail, bytes, rest);
    tail[rest] = 0x80;
    const uint64_t bits = __builtin_bswap64(length * 8);
    memcpy(tail + 64 * blocks - 8, &bits, 8);
    return blocks;
}

/* The two blocks of `prefix || data` that are not in the data as they stand, for a length that is a multiple of 64. */
static inline const uint8_t *edges(uint8_t prefix, const uint8_t *data, size_t length, uint8_t first[64], uint8_t tail[128]) {
    first[0] = prefix;
    memcpy(first + 1, data, 63);
    pad(tail, data + length - 1, 1, length + 1);
    return first;
}

/* sha256(prefix || data) of any length; prefix < 0 means none. */
static void hash_one(int prefix, const uint8_t *data, size_t length, uint8_t out[HASH]) {
    State state = initial();
    uint8_t first[64], tail[128];
    const uint8_t *block = first;
    const size_t shift = prefix >= 0, total = length + shift;
    size_t done = 0;
    if (shift && total >= 64) {
        first[0] = (uint8_t)prefix;
        memcpy(first + 1, data, 63);
        compress(&state, &block, 1);
        done = 63;
    }
    for (; length - done >= 64 && (done || !shift); done += 64) {
        block = data + done;
        compress(&state, &block, 1);
    }
    uint8_t rest[64];
    size_t left = 0;
    if (shift && !done) rest[left++] = (uint8_t)prefix;
    if (length > done) memcpy(rest + left, data + done, length - done);
    left += length - done;
    const int blocks = pad(tail, rest, left, total);
    for (int b = 0; b < blocks; b++) {
        block = tail + 64 * b;
        compress(&state, &block, 1);
    }
    store(state, out);
}

/* STREAMS whole leaves: 0x00 || 1,024 bytes is 16 blocks, each one byte behind the data, and a padded last one. */
static void hash_leaves(const uint8_t *data, uint8_t *out) {
    State state[STREAMS];
    uint8_t first[STREAMS][64], tail[STREAMS][128];
    const uint8_t *block[STREAMS];
    for (int s = 0; s < STREAMS; s++) {
        state[s] = initial();
        block[s] = edges(0, data + s * LEAF, LEAF, first[s], tail[s]);
    }
    compress(state, block, STREAMS);
    for (unsigned b = 1; b < LEAF / 64; b++) {
        for (int s = 0; s < STREAMS; s++) {
            block[s] = data + s * LEAF + 64 * b - 1;
            __builtin_prefetch(block[s] + STREAMS * LEAF);
        }
        compress(state, block, STREAMS);
    }
    for (int s = 0; s < STREAMS; s++) block[s] = tail[s];
    compress(state, block, STREAMS);
    for (int s = 0; s < STREAMS; s++) store(state[s], out + s * HASH);
}

/* STREAMS nodes from 2 * STREAMS neighbouring hashes. `out` may be `pairs`: everything is read before it is written. */
static void hash_nodes(const uint8_t *pairs, uint8_t *out) {
    State state[STREAMS];
    uint8_t first[STREAMS][64], tail[STREAMS][128];
    const uint8_t *block[STREAMS];
    for (int s = 0; s < STREAMS; s++) {
        state[s] = initial();
        block[s] = edges(1, pairs + s * 2 * HASH, 2 * HASH, first[s], tail[s]);
    }
    compress(state, block, STREAMS);
    for (int s = 0; s < STREAMS; s++) block[s] = tail[s];
    compress(state, block, STREAMS);
    for (int s = 0; s < STREAMS; s++) store(state[s], out + s * HASH);
}

/* 16 rows of 16 words to 16 columns: first within quarters of a row, then the quarters themselves. */
static inline WIDE void transpose(__m512i r[16]) {
    __m512i t[16];
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
        r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; i++) {
        t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xDD);
        t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xDD);
    }
    for (int i = 0; i < 4; i++) {
        r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xDD);
        r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xDD);
    }
}

#define XOR3(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0x96)
#define CHOOSE(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xCA)
#define MAJORITY(x, y, z) _mm512_ternarylogic_epi32(x, y, z, 0xE8)
#define ADD _mm512_add_epi32
#define BIG(a, b, c, x) XOR3(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b), _mm512_ror_epi32(x, c))
#define SMALL(a, b, c, x) XOR3(_mm512_ror_epi32(x, a), _mm512_ror_epi32(x, b), _mm512_srli_epi32(x, c))

/* One 64-byte block of each lane, lane i's at block + i * stride, into eight vectors a..h (FIPS 180-4, 6.2.2). */
static inline WIDE void compress_lanes(__m512i state[8], const uint8_t *block, size_t stride) {
    /* the lanes' next blocks but LANES leaves: more streams than a hardware prefetcher follows */
    for (unsigned i = 0; i < LANES; i++) __builtin_prefetch(block + (LANES + i) * stride);
    const __m512i swap = _mm512_broadcast_i32x4(_mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL));
    __m512i w[16], v[8];
    for (unsigned i = 0; i < LANES; i++) w[i] = _mm512_shuffle_epi8(_mm512_loadu_si512(block + i * stride), swap);
    transpose(w);
    for (int i = 0; i < 8; i++) v[i] = state[i];
#pragma GCC unroll 64
    for (int i = 0; i < 64; i++) {
        /* the eight names turn by one place a round, so nothing is moved */
        __m512i *const d = &v[(67 - i) & 7], *const h = &v[(71 - i) & 7];
        const __m512i a = v[(64 - i) & 7], b = v[(65 - i) & 7], c = v[(66 - i) & 7];
        const __m512i e = v[(68 - i) & 7], f = v[(69 - i) & 7], g = v[(70 - i) & 7];
        if (i >= 16)
            w[i & 15] = ADD(ADD(w[i & 15], SMALL(7, 18, 3, w[(i + 1) & 15])), ADD(w[(i + 9) & 15], SMALL(17, 19, 10, w[(i + 14) & 15])));
        const __m512i wk = ADD(w[i & 15], _mm512_set1_epi32((int)K[i]));
        /* the chain from e to the next e is what takes the time: only the last of its terms waits for BIG(e) */
        const __m512i x = ADD(ADD(*h, wk), CHOOSE(e, f, g)), big = BIG(6, 11, 25, e);
        const __m512i t = ADD(x, big);
        *d = ADD(ADD(*d, x), big);
        *h = ADD(t, ADD(BIG(2, 13, 22, a), MAJORITY(a, b, c)));
    }
    for (int i = 0; i < 8; i++) state[i] = ADD(state[i], v[i]);
}

static inline WIDE void initial_lanes(__m512i state[8]) {
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    for (int i = 0; i < 8; i++) state[i] = _mm512_set1_epi32((int)start[i]);
}

static inline WIDE void store_lanes(const __m512i state[8], uint8_t *out) {
    uint32_t words[8][LANES];
    for (int i = 0; i < 8; i++) _mm512_storeu_si512(words[i], state[i]);
    for (unsigned lane = 0; lane < LANES; lane++)
        for (int i = 0; i < 8; i++) {
            const uint32_t word = __builtin_bswap32(words[i][lane]);
            memcpy(out + lane * HASH + 4 * i, &word, 4);
        }
}

/* LANES messages of `length` bytes (a multiple of 64) side by side, each behind `prefix`. `out` may be `data`. */
static WIDE void hash_lanes(uint8_t prefix, const uint8_t *data, size_t length, uint8_t *out) {
    __m512i state[8];
    uint8_t first[LANES][64], tail[LANES][128];
    initial_lanes(state);
    for (unsigned i = 0; i < LANES; i++) edges(prefix, data + i * length, length, first[i], tail[i]);
    compress_lanes(state, first[0], 64);
    for (size_t b = 1; b < length / 64; b++) compress_lanes(state, data + 64 * b - 1, length);
    compress_lanes(state, tail[0], 128);
    store_lanes(state, out);
}

/* The root of `count` >= 1 hashes, built in place: level by level, an odd last hash moves up unchanged (RFC 9162, 2.1.1). */
static void fold(uint8_t *hashes, uint64_t count, const int wide) {
    while (count > 1) {
        const uint64_t nodes = count / 2;
        uint64_t i = 0;
        if (wide) for (; i + LANES <= nodes; i += LANES) hash_lanes(1, hashes + i * 2 * HASH, 2 * HASH, hashes + i * HASH);
        for (; i + STREAMS <= nodes; i += STREAMS) hash_nodes(hashes + i * 64, hashes + i * HASH);
        for (; i < nodes; i++) hash_one(1, hashes + i * 64, 64, hashes + i * HASH);
        if (count & 1) memmove(hashes + nodes * HASH, hashes + (count - 1) * HASH, HASH);
        count = nodes + (count & 1);
    }
}

static uint64_t subtrees(uint64_t length) {
    return length ? (length - 1) / (LEAF * SUBTREE) + 1 : 1;
}

/* The root of subtree number `index` of a tensor. */
static void subtree_root(const uint8_t *data, uint64_t length, uint64_t index, uint8_t out[HASH], const int wide) {
    uint8_t hashes[SUBTREE * HASH];
    const uint64_t start = index * LEAF * SUBTREE;
    const uint64_t size = length - start < LEAF * SUBTREE ? length - start : LEAF * SUBTREE;
    const uint64_t whole = size / LEAF, leaves = (size + LEAF - 1) / LEAF;
    if (leaves == 0) {
        hash_one(-1, data, 0, out);
        return;
    }
    uint64_t i = 0;
    if (wide) for (; i + LANES <= whole; i += LANES) hash_lanes(0, data + start + i * LEAF, LEAF, hashes + i * HASH);
    for (; i + STREAMS <= whole; i += STREAMS) hash_leaves(data + start + i * LEAF, hashes + i * HASH);
    for (; i < leaves; i++) hash_one(0, data + start + i * LEAF, i < whole ? LEAF : size % LEAF, hashes + i * HASH);
    fold(hashes, leaves, wide);
    memcpy(out, hashes, HASH);
}

/* 0: this processor cannot run this file; 1: it has SHA, SSSE3 and SSE4.1 (cpuid leaves 1 and 7); 2: AVX-512 F and BW too. */
EXPORT int ponw_sha256_available(void) {
    unsigned a, b, c, d;
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0), "c"(0));
    if (a < 7) return 0;
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(1), "c"(0));
    const int sse = (c >> 9 & 1) && (c >> 19 & 1);
    __asm__ volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(7), "c"(0));
    if (!sse || !(b >> 29 & 1)) return 0;
    __builtin_cpu_init(); /* asks the operating system too whether the wide registers are saved */
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") ? 2 : 1;
}

/* The most the processor can do, or 1 while a test holds it to SHA-NI. */
static int level_cap = 2;
EXPORT void ponw_sha256_cap(int level) {
    level_cap = level;
}

static int is_wide(void) {
    return level_cap > 1 && ponw_sha256_available() > 1;
}

/* The root of one tensor on the calling thread's OpenMP team. scratch: 32 bytes a leaf (one hash a subtree is used). */
EXPORT void ponw_tensor_root(const uint8_t *data, uint64_t len, uint8_t out[HASH], uint8_t *scratch) {
    const uint64_t parts = subtrees(len);
    const int wide = is_wide();
    uint8_t *const roots = parts > 1 ? scratch : out;
#pragma omp parallel for schedule(static) if (parts > 1)
    for (uint64_t i = 0; i < parts; i++) subtree_root(data, len, i, roots + i * HASH, wide);
    if (parts > 1) {
        fold(roots, parts, wide);
        memcpy(out, roots, HASH);
    }
}

/* The tensor that holds part number `part`: the last one whose first part is not after it. */
static uint64_t owner(const uint64_t *first, uint64_t count, uint64_t part) {
    uint64_t low = 0, high = count;
    while (high - low > 1) {
        const uint64_t middle = (low + high) / 2;
        if (first[middle] <= part) low = middle;
        else high = middle;
    }
    return low;
}

/* The roots of `count` tensors in one parallel loop, 32 bytes each into `out`. 0, or -1 when memory is short. */
EXPORT int ponw_tensor_roots(const uint8_t *const *data, const uint64_t *len, uint64_t count, uint8_t *out, int threads) {
    uint64_t *first = malloc((count + 1) * sizeof *first);
    if (!first) return -1;
    first[0] = 0;
    for (uint64_t t = 0; t < count; t++) first[t + 1] = first[t] + subtrees(len[t]);
    const uint64_t parts = first[count];
    uint8_t *roots = malloc(parts * HASH + 1);
    if (!roots) {
        free(first);
        return -1;
    }
    const int wide = is_wide();
    if (threads < 1) threads = omp_get_max_threads();
    /* dynamic: parts differ in size, and a core may be busy elsewhere; the bits do not depend on who hashes what */
#pragma omp parallel for schedule(dynamic, 2) num_threads(threads) if (parts > 1)
    for (uint64_t p = 0; p < parts; p++) {
        const uint64_t t = owner(first, count, p);
        subtree_root(data[t], len[t], p - first[t], roots + p * HASH, wide);
    }
    for (uint64_t t = 0; t < count; t++) {
        fold(roots + first[t] * HASH, first[t + 1] - first[t], wide);
        memcpy(out + t * HASH, roots + first[t] * HASH, HASH);
    }
    free(roots);
    free(first);
    return 0;
}

/* Importable, so that the build is seen as an extension module; the functions are called through ctypes. */
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_sha256", "RFC 9162 roots with SHA-NI.", 0, NULL, slots, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__sha256(void) {
    return PyModuleDef_Init(&definition);
}
