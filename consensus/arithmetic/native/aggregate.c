/* Robust aggregation over rows of fp32 (one row a contribution): a weighted window of each sorted column, and the Gram
 * matrix of rows rounded to 12 bits, and weighted means of chosen rows. The bits are those of
 * consensus/aggregation/window.py and of consensus/arithmetic/kernels_rows.py: compares, single IEEE operations, and
 * sums of integers.
 */
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#include <immintrin.h>
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#define DOTS 1 /* this processor may have 16-bit dot products */
#else
#define CLONES
#define DOTS 0
#endif
#define INLINE static inline __attribute__((always_inline))

#define TILE 64        /* columns sorted at once: 50 rows of them and their weights stay in the first cache */
#define AHEAD 512      /* columns that a row is asked for before their turn: processors foresee fewer rows than there may be */
#define GRID_BITS 29   /* the largest kept value of a column is an integer below 2^30 on the column's grid */
#define LEAST 0x1p-90f /* a column whose kept values all stay below this is zero */
#define BLOCK 512      /* columns whose products of 12-bit integers fit an int32 */
#define WIDE 4096      /* the same where sixteen int32 share them: 256 products each */
#define QMAX 2047.0f

INLINE float float_of(int32_t i) { float x; memcpy(&x, &i, 4); return x; }
INLINE int32_t bits_of(float x) { int32_t i; memcpy(&i, &x, 4); return i; }

typedef struct {
    const float *const *rows;
    const int64_t *weights; /* >= 1 each */
    long columns;
    int n, equal, all; /* whether the weights are equal; whether the window leaves nothing out */
    int64_t unit, low, high; /* the part [low, high] of the cumulative weights times unit is kept */
    float limit; /* finite; values are clamped to +-limit first */
} Window;

/* Ascending by Batcher's merge exchange (Knuth, TAOCP 3, 5.2.2 M), which holds for any n. */
#define NETWORK(EXCHANGE)                                                     \
    int top = 1;                                                              \
    while (top * 2 < n) top *= 2;                                             \
    for (int p = top; p > 0; p /= 2)                                          \
        for (int q = top, r = 0, d = p; d > 0; d = q - p, q /= 2, r = p)      \
            for (int i = 0; i + d < n; i++)                                   \
                if ((i & p) == r) EXCHANGE(i, i + d)

typedef struct { int low, high; } Pair;

/* What of the network a window of equal weights needs, backwards: places of one share are alike, since only the sum of
 * what lies there counts, so an exchange between two of them does nothing; after it stands one that does, its two
 * places are like no other. Returns how many pairs are left, at the end of `pairs`, which starts at *first. */
static int needed(Pair *pairs, int count, int n, const int64_t *share, int *alike, int *first) {
    int fresh = n, at = count;
    for (int i = 0; i < n; i++) {
        alike[i] = i;
        for (int j = 0; j < i; j++)
            if (share[j] == share[i]) { alike[i] = j; break; }
    }
    for (int k = count - 1; k >= 0; k--) {
        const Pair pair = pairs[k];
        if (alike[pair.low] == alike[pair.high]) continue;
        alike[pair.low] = fresh++;
        alike[pair.high] = fresh++;
        pairs[--at] = pair;
    }
    *first = at;
    return count - at;
}

static int network(Pair *pairs, int n) {
    int count = 0;
#define COUNTED(a, b) { if (pairs) pairs[count] = (Pair){a, b}; count++; }
    NETWORK(COUNTED)
    return count;
}

INLINE void order(float *restrict a, float *restrict b) {
    for (int t = 0; t < TILE; t++) {
        const float x = a[t], y = b[t];
        a[t] = x < y ? x : y;
        b[t] = x < y ? y : x;
    }
}

INLINE void order_pairs(float *restrict a, float *restrict b, int32_t *restrict u, int32_t *restrict w) {
    for (int t = 0; t < TILE; t++) {
        const float x = a[t], y = b[t];
        const int32_t m = u[t], k = w[t];
        const int swap = x >= y;
        a[t] = swap ? y : x;
        b[t] = swap ? x : y;
        u[t] = swap ? k : m;
        w[t] = swap ? m : k;
    }
}

INLINE void sort_pairs(float *v, int32_t *w, int n) {
#define PAIRS(a, b) order_pairs(v + (a) * TILE, v + (b) * TILE, w + (a) * TILE, w + (b) * TILE);
    NETWORK(PAIRS)
}

/* Loads columns [at, at + count) clamped, the rest zero; false where a value is not finite. */
INLINE int load(const Window *w, long at, int count, float *v) {
    int32_t worst = 0;
    for (int i = 0; i < w->n; i++) {
        float *restrict to = v + i * TILE;
        if (at + AHEAD + TILE <= w->columns)
            for (int t = 0; t < TILE; t += 16) __builtin_prefetch(w->rows[i] + at + AHEAD + t);
        memset(to, 0, TILE * sizeof(float));
        memcpy(to, w->rows[i] + at, count * sizeof(float));
        for (int t = 0; t < TILE; t++) {
            const int32_t size = bits_of(to[t]) & 0x7fffffff;
            worst = size > worst ? size : worst;
            const float x = to[t] < w->limit ? to[t] : w->limit;
            to[t] = x > -w->limit ? x : -w->limit;
        }
    }
    return worst < 0x7f800000;
}

INLINE int64_t part(const Window *w, int64_t before, int64_t after) {
    if (w->low == w->high) return before <= w->low && w->low <= after; /* a median: what touches the middle */
    const int64_t a = before < w->low ? w->low : before > w->high ? w->high : before;
    const int64_t b = after < w->low ? w->low : after > w->high ? w->high : after;
    return b - a;
}

/* kept[i][t]: what of row i's weight lies in the window at column t. */
INLINE void keep(const Window *w, const int32_t *weights, int64_t *kept) {
    int64_t sum[TILE] = {0};
    for (int i = 0; i < w->n; i++)
        for (int t = 0; t < TILE; t++) {
            const int64_t after = sum[t] + weights[i * TILE + t] * w->unit;
            kept[i * TILE + t] = part(w, sum[t], after);
            sum[t] = after;
        }
}

/* The grid on which a column's largest kept magnitude is an integer below 2^30, and steps a unit; 0 for a dead one. */
INLINE void scale(const float *top, float *rate, float *grid) {
    for (int t = 0; t < TILE; t++) {
        const int live = top[t] >= LEAST;
        const int32_t exponent = (bits_of(top[t]) >> 23) - 127;
        rate[t] = live ? float_of((GRID_BITS - exponent + 127) << 23) : 0.0f;
        grid[t] = live ? float_of((exponent - GRID_BITS + 127) << 23) : 0.0f;
    }
}

/* floor(sum / total + 1/2), total > 0. The quotient stays below 2^31, so that of doubles, cut, is off by one at most. */
INLINE int64_t half_up(int64_t sum, int64_t total) {
    const int64_t above = 2 * sum + total, below = 2 * total;
    int64_t quotient = (int64_t)((double)above / (double)below);
    const int64_t rest = above - quotient * below;
    quotient -= rest < 0;
    quotient += rest >= below;
    return quotient;
}

INLINE void mean(const Window *w, const float *v, const int64_t *kept, int count, float *out) {
    float top[TILE] = {0}, rate[TILE], grid[TILE];
    int64_t sum[TILE] = {0}, total[TILE] = {0};
    for (int i = 0; i < w->n; i++)
        for (int t = 0; t < TILE; t++) {
            const float size = kept[i * TILE + t] > 0 ? fabsf(v[i * TILE + t]) : 0.0f;
            top[t] = size > top[t] ? size : top[t];
            total[t] += kept[i * TILE + t];
        }
    scale(top, rate, grid);
    for (int i = 0; i < w->n; i++)
        for (int t = 0; t < TILE; t++) {
            const float x = kept[i * TILE + t] > 0 ? v[i * TILE + t] : 0.0f;
            sum[t] += (int32_t)rintf(x * rate[t]) * kept[i * TILE + t];
        }
    for (int t = 0; t < count; t++) out[t] = (float)half_up(sum[t], total[t]) * grid[t];
}

/* The same where a row's share is one number for all columns. */
INLINE void mean_of_rows(const Window *w, const float *v, const int64_t *share, int count, float *out) {
    float top[TILE] = {0}, rate[TILE], grid[TILE];
    int64_t sum[TILE] = {0}, total = 0, whole = 0;
    for (int i = 0; i < w->n; i++) {
        whole = share[i] > whole ? share[i] : whole;
        total += share[i];
        if (share[i] > 0)
            for (int t = 0; t < TILE; t++) {
                const float size = fabsf(v[i * TILE + t]);
                top[t] = size > top[t] ? size : top[t];
            }
    }
    scale(top, rate, grid);
    for (int i = 0; i < w->n; i++)
        if (share[i] == whole)
            for (int t = 0; t < TILE; t++) sum[t] += (int32_t)rintf(v[i * TILE + t] * rate[t]);
    for (int t = 0; t < TILE; t++) sum[t] *= whole;
    for (int i = 0; i < w->n; i++)
        if (share[i] > 0 && share[i] != whole)
            for (int t = 0; t < TILE; t++) sum[t] += (int32_t)rintf(v[i * TILE + t] * rate[t]) * share[i];
    for (int t = 0; t < TILE; t++) top[t] = (float)half_up(sum[t], total) * grid[t];
    memcpy(out, top, count * sizeof *out);
}

CLONES static int tile(const Window *w, long at, int count, float *v, int32_t *weights, int64_t *kept, float *out) {
    const int finite = load(w, at, count, v);
    for (int i = 0; i < w->n; i++)
        for (int t = 0; t < TILE; t++) weights[i * TILE + t] = (int32_t)w->weights[i];
    sort_pairs(v, weights, w->n);
    keep(w, weights, kept);
    mean(w, v, kept, count, out);
    return finite;
}

/* The same where the rows' shares do not depend on the column: equal weights, or a window of everything. */
CLONES static int even_tile(const Window *w, long at, int count, const Pair *pairs, int exchanges,
                            const int64_t *share, float *v, float *out) {
    const int finite = load(w, at, count, v);
    for (int k = 0; k < exchanges; k++) order(v + pairs[k].low * TILE, v + pairs[k].high * TILE);
    mean_of_rows(w, v, share, count, out);
    return finite;
}

/* Of each column the mean of what lies in the window. Returns 1, 0 for a value that is not finite, -1 without memory. */
int ponw_window(const float *const *rows, const int64_t *weights, int n, long columns, int64_t unit, int64_t low,
                int64_t high, float limit, int threads, float *out) {
    Window w = {rows, weights, columns, n, 1, 0, unit, low, high, limit};
    int64_t sum = 0;
    for (int i = 0; i < n; i++) {
        w.equal &= weights[i] == weights[0];
        sum += weights[i];
    }
    w.all = low == 0 && high == sum * unit;
    const int even = w.equal || w.all;
    int exchanges = even && !w.all ? network(NULL, n) : 0, first = 0;
    Pair *pairs = malloc((size_t)(exchanges + 1) * sizeof *pairs);
    int64_t *share = malloc((size_t)n * sizeof *share);
    int *alike = malloc((size_t)n * sizeof *alike);
    int finite = 1, starved = !pairs || !share || !alike;
    if (!starved) {
        int64_t before = 0;
        for (int i = 0; i < n; i++) {
            const int64_t after = before + weights[i] * unit;
            share[i] = part(&w, before, after);
            before = after;
        }
        if (exchanges) exchanges = needed(pairs, network(pairs, n), n, share, alike, &first);
#pragma omp parallel num_threads(threads) reduction(& : finite) reduction(| : starved)
        {
            float *v = malloc((size_t)n * TILE * sizeof *v);
            int32_t *carried = even ? NULL : malloc((size_t)n * TILE * sizeof *carried);
            int64_t *kept = even ? NULL : malloc((size_t)n * TILE * sizeof *kept);
            starved = !v || (!even && (!carried || !kept));
#pragma omp for schedule(static)
            for (long at = 0; at < columns; at += TILE) {
                const int count = columns - at < TILE ? (int)(columns - at) : TILE;
                if (starved) continue;
                finite &= even ? even_tile(&w, at, count, pairs + first, exchanges, share, v, out + at)
                               : tile(&w, at, count, v, carried, kept, out + at);
            }
            free(v); free(carried); free(kept);
        }
    }
    free(pairs); free(share); free(alike);
    return starved ? -1 : finite;
}

/* ---- distances ---- */

/* q [n, stride]: columns [at, at + count) as 12-bit integers, the rest zero. */
CLONES static void quantise(const float *const *rows, int n, long at, int count, int stride, float rate, int16_t *q) {
    for (int i = 0; i < n; i++) {
        int16_t *restrict to = q + (long)i * stride;
        const float *restrict from = rows[i] + at;
        memset(to + count, 0, (stride - count) * sizeof *to);
        for (int t = 0; t < count; t++) {
            float x = from[t] * rate;
            x = x < QMAX ? x : QMAX;
            x = x > -QMAX ? x : -QMAX;
            to[t] = (int16_t)(int32_t)rintf(x);
        }
    }
}

CLONES static void products(const int16_t *q, int n, int64_t *gram) {
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            const int16_t *restrict a = q + i * BLOCK, *restrict b = q + j * BLOCK;
            int32_t sum = 0;
            for (int t = 0; t < BLOCK; t++) sum += (int32_t)a[t] * b[t];
            gram[i * n + j] += sum;
        }
}

#if DOTS
/* The same over up to WIDE columns, four rows by four; q has a multiple of four rows, those from n on zero. */
__attribute__((target("avx512f,avx512bw,avx512vnni"))) static void dots(const int16_t *q, int n, int count,
                                                                         int64_t *gram) {
    for (int i = 0; i < n; i += 4)
        for (int j = i; j < n; j += 4) {
            __m512i sum[16], b[4];
            for (int k = 0; k < 16; k++) sum[k] = _mm512_setzero_si512();
            for (int t = 0; t < count; t += 32) {
                for (int y = 0; y < 4; y++) b[y] = _mm512_loadu_si512(q + (long)(j + y) * WIDE + t);
                for (int x = 0; x < 4; x++) {
                    const __m512i a = _mm512_loadu_si512(q + (long)(i + x) * WIDE + t);
                    for (int y = 0; y < 4; y++) sum[4 * x + y] = _mm512_dpwssd_epi32(sum[4 * x + y], a, b[y]);
                }
            }
            for (int k = 0; k < 16; k++) {
                const int row = i + k / 4, column = j + k % 4;
                if (column < row || column >= n) continue;
                const __m512i low = _mm512_cvtepi32_epi64(_mm512_castsi512_si256(sum[k]));
                const __m512i high = _mm512_cvtepi32_epi64(_mm512_extracti64x4_epi64(sum[k], 1));
                gram[(long)row * n + column] += _mm512_reduce_add_epi64(_mm512_add_epi64(low, high));
            }
        }
}

static int has_dots(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni");
}
#else
static void dots(const int16_t *q, int n, int count, int64_t *gram) { (void)q; (void)n; (void)count; (void)gram; }
static int has_dots(void) { return 0; }
#endif

/* Adds to gram [n, n], its upper half, the products of rows rounded to rate and clamped to 12 bits. */
int ponw_gram(const float *const *rows, int n, long columns, float rate, int threads, int64_t *gram) {
    int starved = 0;
    const int wide = has_dots(), stride = wide ? WIDE : BLOCK;
#pragma omp parallel num_threads(threads) reduction(| : starved)
    {
        int16_t *q = calloc(((size_t)n + 3) / 4 * 4 * stride, sizeof *q);
        int64_t *own = calloc((size_t)n * n, sizeof *own);
        starved = !q || !own;
#pragma omp for schedule(static)
        for (long at = 0; at < columns; at += stride) {
            const int count = columns - at < stride ? (int)(columns - at) : stride;
            if (starved) continue;
            quantise(rows, n, at, count, stride, rate, q);
            if (wide) dots(q, n, count, own);
            else products(q, n, own);
        }
        if (!starved)
#pragma omp critical
            for (long k = 0; k < (long)n * n; k++) gram[k] += own[k];
        free(q); free(own);
    }
    return starved ? -1 : 1;
}

/* ---- means of chosen rows ---- */

typedef struct {
    const float *const *rows;
    const int64_t *weights, *totals; /* of each row; of each choice */
    const int32_t *lists;            /* [n, n]: what is chosen, or what is left out where that is less */
    const int32_t *sizes;            /* of each list; negative: less one, of what is left out */
    int n;
    float limit, rate, grid;
} Choice;

CLONES static void mixed(const Choice *c, long at, int count, long columns, int64_t *steps, float *out) {
    int64_t all[TILE] = {0};
    for (int i = 0; i < c->n; i++) {
        float x[TILE] = {0};
        memcpy(x, c->rows[i] + at, count * sizeof *x);
        int64_t *restrict to = steps + i * TILE;
        for (int t = 0; t < TILE; t++) {
            const float high = x[t] < c->limit ? x[t] : c->limit;
            const float low = high > -c->limit ? high : -c->limit;
            to[t] = (int32_t)rintf(low * c->rate) * c->weights[i];
            all[t] += to[t];
        }
    }
    for (int m = 0; m < c->n; m++) {
        const int left_out = c->sizes[m] < 0, size = left_out ? -1 - c->sizes[m] : c->sizes[m];
        const int32_t *list = c->lists + (long)m * c->n;
        int64_t sum[TILE] = {0};
        for (int k = 0; k < size; k++) {
            const int64_t *restrict from = steps + list[k] * TILE;
            for (int t = 0; t < TILE; t++) sum[t] += from[t];
        }
        float mean[TILE];
        for (int t = 0; t < TILE; t++) {
            const int64_t chosen = left_out ? all[t] - sum[t] : sum[t];
            mean[t] = (float)half_up(chosen, c->totals[m]) * c->grid;
        }
        memcpy(out + m * columns + at, mean, count * sizeof *mean);
    }
}

/* out [n, columns]: row m is the weighted mean of the rows near it (near [n, n] of 0 and 1), clamped to +-limit, on a
 * grid of `rate` steps a unit, where limit * rate <= 2^30. Returns 1, or -1 without memory. */
int ponw_mix(const float *const *rows, const int64_t *weights, const uint8_t *near, int n, long columns, float limit,
             float rate, float grid, int threads, float *out) {
    int32_t *lists = malloc((size_t)n * n * sizeof *lists), *sizes = malloc((size_t)n * sizeof *sizes);
    int64_t *totals = malloc((size_t)n * sizeof *totals);
    int starved = !lists || !sizes || !totals;
    if (!starved) {
        for (int m = 0; m < n; m++) {
            int chosen = 0, size = 0;
            totals[m] = 0;
            for (int i = 0; i < n; i++) chosen += near[(long)m * n + i];
            const int wanted = 2 * chosen <= n;
            for (int i = 0; i < n; i++) {
                if (near[(long)m * n + i]) totals[m] += weights[i];
                if (near[(long)m * n + i] == wanted) lists[(long)m * n + size++] = i;
            }
            sizes[m] = wanted ? size : -1 - size;
        }
        const Choice c = {rows, weights, totals, lists, sizes, n, limit, rate, grid};
#pragma omp parallel num_threads(threads) reduction(| : starved)
        {
            int64_t *steps = malloc((size_t)n * TILE * sizeof *steps);
            starved = !steps;
#pragma omp for schedule(static)
            for (long at = 0; at < columns; at += TILE) {
                const int count = columns - at < TILE ? (int)(columns - at) : TILE;
                if (!starved) mixed(&c, at, count, columns, steps, out);
            }
            free(steps);
        }
    }
    free(lists); free(sizes); free(totals);
    return starved ? -1 : 1;
}

/* Importable, so that the build is seen as an extension module; the functions are called through ctypes. */
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_aggregate", "Robust aggregation.", 0, NULL, slots, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__aggregate(void) {
    return PyModuleDef_Init(&definition);
}
