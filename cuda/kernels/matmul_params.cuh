// Products of many pairs of matrices, none of them weights. Host code reads this file too.
#pragma once

#include "conv_igemm_params.cuh"

namespace alphaflops::cuda {

// Elements from matrix to matrix: to the next inner one, and from the last of these to the next
// outer one. Heads are inner, images outer.
struct MatrixStep {
  long long outer, inner;
};

// Blocks: x = (matrix * row tiles + row tile) * column tiles + column tile.
struct MatmulParams {
  ConvIgemmParams product;  // of one pair, as a 1x1 convolution over a line of pixels
  MatrixStep a, b, c;
  FastDivisor by_tiles, by_inner;  // tiles of a matrix, inner matrices
};

// X(dtype, rows, columns, depth, warps along rows, along columns, stages, access, form). How B
// lies:
//   straight   [column][depth], as weights do: the keys of attention
//   turned     [depth][column]: its values
#define AF_MATMUL_FORMS(X, ...) X(__VA_ARGS__, straight) X(__VA_ARGS__, turned)
#define AF_MATMUL_FP16(X) AF_MATMUL_FORMS(X, fp16, 64, 64, 64, 2, 2, 3, pointwise)
#define AF_MATMUL_FP16_SM75(X) AF_MATMUL_FORMS(X, fp16, 64, 64, 32, 2, 2, 2, scalar)
#define AF_MATMUL_BF16(X)                                  \
  AF_MATMUL_FORMS(X, bf16, 64, 64, 64, 2, 2, 3, pointwise) \
  AF_MATMUL_FORMS(X, bf16, 64, 64, 32, 2, 2, 2, scalar)
#define AF_MATMUL_TF32(X)                                  \
  AF_MATMUL_FORMS(X, tf32, 64, 64, 32, 2, 2, 3, pointwise) \
  AF_MATMUL_FORMS(X, tf32, 64, 64, 16, 2, 2, 2, scalar)

// X(rows, columns, depth, access, form) without tensor cores.
#define AF_MATMUL_FP32(X)                   \
  AF_MATMUL_FORMS(X, 128, 64, 8, pointwise) \
  AF_MATMUL_FORMS(X, 64, 64, 8, scalar)

}  // namespace alphaflops::cuda
