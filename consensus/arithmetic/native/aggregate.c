/* Robust aggregation over rows of fp32 (one row a contribution): a weighted window of each sorted column, and the Gram
 * matrix of rows rounded to 12 bits. The bits are those of consensus/aggregation/window.py and of
 * consensus/arithmetic/kernels_rows.py: compares, single IEEE operations, and sums of integers.
 */
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define CLONES
#endif
#define INLINE static inline __attribute__((always_inline))

#define TILE 64        /* columns sorted at once: 50 rows of them and their weights stay in the first cache */
#define GRID_BITS 29   /* the largest kept value of a column is an integer below 2^30 on the column's grid */
#define LEAST 0x1p-90f /* a column whose kept values all stay below this is zero */
#define BLOCK 512      /* columns whose products of 12-bit integers fit an int32 */
#define QMAX 2047.0f

INLINE float float_of(int32_t i) { float x; memcpy(&x, &i, 4); return x; }
INLINE int32_t bits_of(float x) { int32_t i; memcpy(&i, &x, 4); return i; }

typedef struct {
    const float *const *rows;
    const int64_t *weights; /* >= 1 each */
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
                if ((i & p) == r) EXCHANGE(v + i * TILE, v + (i + d) * TILE)

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

INLINE void sort_values(float *v, int n) {
#define PLAIN(a, b) order(a, b)
    NETWORK(PLAIN);
}

INLINE void sort_pairs(float *v, int32_t *w, int n) {
#define PAIRS(a, b) order_pairs(a, b, w + i * TILE, w + (i + d) * TILE)
    NETWORK(PAIRS);
}

/* Loads columns [at, at + count) clamped, the rest zero; false where a value is not finite. */
INLINE int load(const Window *w, long at, int count, float *v) {
    int32_t worst = 0;
    for (int i = 0; i < w->n; i++) {
        float *restrict to = v + i * TILE;
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

INLINE void mean(const Window *w, const float *v, const int64_t *kept, int count, float *out) {
    float top[TILE] = {0}, rate[TILE], grid[TILE];
    int64_t sum[TILE] = {0}, total[TILE] = {0};
    for (int i = 0; i < w->n; i++)
        for (int t = 0; t < TILE; t++) {
            const float size = kept[i * TILE + t] > 0 ? fabsf(v[i * TILE + t]) : 0.0f;
            top[t] = size > top[t] ? size : top[t];
            total[t] += kept[i * TILE + t];
        }
    for (int t = 0; t < TILE; t++) {
        const int live = top[t] >= LEAST;
        const int32_t exponent = (bits_of(top[t]) >> 23) - 127;
        rate[t] = live ? float_of((GRID_BITS - exponent + 127) << 23) : 0.0f;
        grid[t] = live ? float_of((exponent - GRID_BITS + 127) << 23) : 0.0f;
    }
    for (int i = 0; i < w->n; i++)
        for (int t = 0; t < TILE; t++) {
            const float x = kept[i * TILE + t] > 0 ? v[i * TILE + t] : 0.0f;
            sum[t] += (int32_t)rintf(x * rate[t]) * kept[i * TILE + t];
        }
    for (int t = 0; t < count; t++) {
        const int64_t above = 2 * sum[t] + total[t], below = 2 * total[t];
        const int64_t quotient = above / below - (above % below < 0);
        out[t] = (float)quotient * grid[t];
    }
}

CLONES static int tile(const Window *w, long at, int count, float *v, int32_t *weights, int64_t *kept, float *out) {
    const int finite = load(w, at, count, v);
    if (w->all || w->equal) {
        if (!w->all) sort_values(v, w->n);
    } else {
        for (int i = 0; i < w->n; i++)
            for (int t = 0; t < TILE; t++) weights[i * TILE + t] = (int32_t)w->weights[i];
        sort_pairs(v, weights, w->n);
        keep(w, weights, kept);
    }
    mean(w, v, kept, count, out);
    return finite;
}

/* Of each column the mean of what lies in the window. Returns 1, 0 for a value that is not finite, -1 without memory. */
int ponw_window(const float *const *rows, const int64_t *weights, int n, long columns, int64_t unit, int64_t low,
                int64_t high, float limit, int threads, float *out) {
    Window w = {rows, weights, n, 1, 0, unit, low, high, limit};
    int64_t sum = 0;
    for (int i = 0; i < n; i++) {
        w.equal &= weights[i] == weights[0];
        sum += weights[i];
    }
    w.all = low == 0 && high == sum * unit;
    int finite = 1, starved = 0;
#pragma omp parallel num_threads(threads) reduction(& : finite) reduction(| : starved)
    {
        float *v = malloc((size_t)n * TILE * sizeof *v);
        int32_t *carried = malloc((size_t)n * TILE * sizeof *carried);
        int64_t *kept = malloc((size_t)n * TILE * sizeof *kept);
        starved = !v || !carried || !kept;
        if (!starved && (w.equal || w.all)) {
            for (int i = 0; i < n; i++)
                for (int t = 0; t < TILE; t++) carried[i * TILE + t] = (int32_t)weights[i];
            keep(&w, carried, kept);
        }
#pragma omp for schedule(static)
        for (long at = 0; at < columns; at += TILE) {
            const int count = columns - at < TILE ? (int)(columns - at) : TILE;
            if (!starved) finite &= tile(&w, at, count, v, carried, kept, out + at);
        }
        free(v); free(carried); free(kept);
    }
    return starved ? -1 : finite;
}

/* ---- distances ---- */

CLONES static void products(const float *const *rows, int n, long at, int count, float rate, int16_t *q, int64_t *gram) {
    for (int i = 0; i < n; i++) {
        int16_t *restrict to = q + i * BLOCK;
        const float *restrict from = rows[i] + at;
        memset(to, 0, BLOCK * sizeof *to);
        for (int t = 0; t < count; t++) {
            float x = from[t] * rate;
            x = x < QMAX ? x : QMAX;
            x = x > -QMAX ? x : -QMAX;
            to[t] = (int16_t)(int32_t)rintf(x);
        }
    }
    for (int i = 0; i < n; i++)
        for (int j = i; j < n; j++) {
            const int16_t *restrict a = q + i * BLOCK, *restrict b = q + j * BLOCK;
            int32_t sum = 0;
            for (int t = 0; t < BLOCK; t++) sum += (int32_t)a[t] * b[t];
            gram[i * n + j] += sum;
        }
}

/* Adds to gram [n, n], its upper half, the products of rows rounded to rate and clamped to 12 bits. */
int ponw_gram(const float *const *rows, int n, long columns, float rate, int threads, int64_t *gram) {
    int starved = 0;
#pragma omp parallel num_threads(threads) reduction(| : starved)
    {
        int16_t *q = malloc((size_t)n * BLOCK * sizeof *q);
        int64_t *own = calloc((size_t)n * n, sizeof *own);
        starved = !q || !own;
#pragma omp for schedule(static)
        for (long at = 0; at < columns; at += BLOCK) {
            const int count = columns - at < BLOCK ? (int)(columns - at) : BLOCK;
            if (!starved) products(rows, n, at, count, rate, q, own);
        }
        if (!starved)
#pragma omp critical
            for (long k = 0; k < (long)n * n; k++) gram[k] += own[k];
        free(q); free(own);
    }
    return starved ? -1 : 1;
}

/* Importable, so that the build is seen as an extension module; the functions are called through ctypes. */
static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "_aggregate", "Robust aggregation.", 0, NULL, slots, NULL, NULL, NULL};
PyMODINIT_FUNC PyInit__aggregate(void) {
    return PyModuleDef_Init(&definition);
}
