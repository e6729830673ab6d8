// What the fused kernels of attention take, and which there are. Host code reads this file too.
#pragma once

#include "matmul_params.cuh"

namespace alphaflops::cuda {

inline constexpr int attention_queries = 64;  // of a block, 16 of each of its warps
inline constexpr int attention_keys = 64;     // of a tile
inline constexpr int attention_threads = 128;

// Blocks: x = pair of batch and head * query tiles + query tile. Rows count elements.
struct AttentionParams {
  const void* q;
  const void* k;
  const void* v;
  const void* mask;  // added to the scaled scores, or null
  void* y;
  MatrixStep q_step, k_step, v_step, mask_step, y_step;
  int q_row, k_row, v_row, mask_row, y_row;
  int length, kv_length;
  int hidden;  // of the keys, from the first query behind a causal mask; or -1
  float scale;
  FastDivisor by_query_tiles, by_heads, by_group;  // heads that share keys
};

// X(dtype, depth of a head).
#define AF_ATTENTION(X) X(fp16, 32) X(fp16, 64) X(fp16, 128) X(bf16, 32) X(bf16, 64) X(bf16, 128)

}  // namespace alphaflops::cuda
