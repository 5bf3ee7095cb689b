#!/usr/bin/env bash
# Compile the exact kernels for browsers: dashboard/public/exact.wasm. Needs clang and lld 14 or newer with the wasm32 target.
set -euo pipefail
cd "$(dirname "$0")/.."
source=consensus/arithmetic/native/wasm
exports=()
for name in ponw_pack_rows ponw_pack_cols ponw_gemm ponw_rmsnorm ponw_rmsnorm_grad ponw_relu2 ponw_relu2_grad ponw_add ponw_embed \
  ponw_embed_grad ponw_cross_entropy ponw_attention_work ponw_attention ponw_attention_grad ponw_adamw ponw_sha256 \
  ponw_leaf_hash ponw_tensor_root; do
  exports+=("-Wl,--export=$name")
done
clang --target=wasm32 -O3 -std=gnu11 -nostdlib -ffreestanding -fno-builtin-malloc -msimd128 -mbulk-memory -ffp-contract=off \
  -fno-fast-math -fopenmp-simd -isystem "$source/include" -Wno-unknown-pragmas \
  -Wl,--no-entry -Wl,--import-memory -Wl,--export=__heap_base -Wl,-z,stack-size=1048576 -Wl,--stack-first -Wl,--strip-all \
  "${exports[@]}" -o "${1:-dashboard/public/exact.wasm}" "$source/exact_wasm.c"
