/* The exact kernels of training and the hasher for WebAssembly with 128-bit SIMD: what a browser trains with.
 *
 * Single precision in WebAssembly is IEEE 754 with one rounding an op and no fused multiply-add (WebAssembly 2.0, 4.3),
 * and i32x4.dot_i16x8_s is the product that the other variants use, so the bits are theirs.
 */
#define PX_TRAINING_ONLY
#define PX_INIT ponw_unused
#include "../kernels.inc"
#include "sha256.inc"
