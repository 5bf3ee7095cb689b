/* The exact kernels for one instruction set; the compiler flags in pyproject.toml choose it. */
#define PX_INIT PyInit__exact_amx
#include "kernels.inc"
