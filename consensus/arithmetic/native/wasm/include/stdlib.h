/* Kernels ask for one short row at a time; all other memory is the caller's. */
typedef __SIZE_TYPE__ size_t;
#ifndef NULL
#define NULL ((void *)0)
#endif
#define ROW_BYTES (64 * 1024)
static unsigned char row_memory[ROW_BYTES] __attribute__((aligned(64)));
static inline void *malloc(size_t size) {
    if (size > ROW_BYTES) __builtin_trap();
    return row_memory;
}
static inline void free(void *p) { (void)p; }
