/* The exact kernels for one instruction set; the compiler flags in pyproject.toml choose it. */
#define PX_INIT PyInit__exact_avx2
#include "kernels.inc"
