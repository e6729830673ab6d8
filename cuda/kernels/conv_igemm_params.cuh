// What the matrix kernels take, and which of them there are. Host code reads this file too.
#pragma once

#include "conv_index.cuh"
#include "tile_walk.cuh"

namespace alphaflops::cuda {

// Blocks: x = (phase * row tiles + row tile) * column tiles + column tile, y = group, z = split of
// the depth.
struct ConvIgemmParams {
  const void* input;
  const void* weights;
  const void* bias;  // of the type of the sums, fp32 or int32; or null
  void* output;      // or, of a split depth, sums [split][phase][row][channel of all groups]
  ConvMap map;
  FastDivisor by_column_tiles, by_row_tiles;
  int depth_tiles_a_split;
  int activation;
  int is_partial;            // sums are stored, without an epilogue
  long long partial_stride;  // elements of a split
  int stores_vectors;        // 16 bytes of the output never straddle a row or a group
};

// The gradient of the weights: rows are output channels, columns are (tap_h, tap_w, channel) and
// the depth runs over the pixels of the output. `source` is the forward product, which says where
// these lie in the input.
struct ConvWgradParams {
  ConvIgemmParams product;  // its weights: the gradient of the output
  ConvMap source;
};

// The same product for blocks that stay and walk over tiles, with tensor maps for the copy engine:
// weights [column of all groups][depth], for pointwise access the source [row][group][channel], and
// the output [split][row][group][column].
struct alignas(64) ConvWgmmaParams {
  unsigned char weights_map[128];
  unsigned char source_map[128];
  unsigned char output_map[128];
  ConvIgemmParams product;
  TileWalk walk;  // of tiles of 128 rows, units of as many as a cluster has blocks
};

// Sums of a split depth, added up in order.
struct ConvReduceParams {
  const void* partials;
  const void* bias;
  void* output;
  ConvMap map;
  FastDivisor by_channels_out, by_rows;
  int splits, activation;
};

// How a tile's 16-byte pieces are found.
//   vector     channels fill whole pieces: one address a piece, which may lie in the padding
//   pointwise  the same without taps or padding: 1x1 and linear layers
//   scalar     any number of channels: an address an element
enum class Access : int { vector, pointwise, scalar };

// X(dtype, rows, columns, depth, warps along rows, along columns, stages, access). Two stages go
// through registers and run anywhere; more need cp.async (sm_80).
#define AF_CONV_IGEMM_FP16(X)               \
  X(fp16, 128, 256, 64, 2, 4, 3, vector)    \
  X(fp16, 128, 256, 64, 2, 4, 3, pointwise) \
  X(fp16, 128, 128, 32, 2, 2, 4, vector)    \
  X(fp16, 128, 128, 32, 2, 2, 4, pointwise) \
  X(fp16, 128, 64, 64, 2, 2, 3, vector)     \
  X(fp16, 128, 64, 64, 2, 2, 3, pointwise)  \
  X(fp16, 64, 64, 64, 2, 2, 3, vector)      \
  X(fp16, 64, 64, 64, 2, 2, 3, pointwise)
#define AF_CONV_IGEMM_FP16_SM75(X)          \
  X(fp16, 128, 128, 32, 2, 4, 2, vector)    \
  X(fp16, 128, 128, 32, 2, 4, 2, pointwise) \
  X(fp16, 64, 64, 32, 2, 2, 2, vector)      \
  X(fp16, 64, 64, 32, 2, 2, 2, scalar)
#define AF_CONV_IGEMM_BF16(X)               \
  X(bf16, 128, 256, 64, 2, 4, 3, vector)    \
  X(bf16, 128, 256, 64, 2, 4, 3, pointwise) \
  X(bf16, 128, 128, 32, 2, 2, 4, vector)    \
  X(bf16, 128, 128, 32, 2, 2, 4, pointwise) \
  X(bf16, 64, 64, 64, 2, 2, 3, vector)      \
  X(bf16, 64, 64, 64, 2, 2, 3, pointwise)   \
  X(bf16, 64, 64, 32, 2, 2, 2, scalar)
#define AF_CONV_IGEMM_TF32(X)               \
  X(tf32, 128, 256, 32, 2, 4, 3, vector)    \
  X(tf32, 128, 256, 32, 2, 4, 3, pointwise) \
  X(tf32, 128, 128, 16, 2, 2, 4, vector)    \
  X(tf32, 128, 128, 16, 2, 2, 4, pointwise) \
  X(tf32, 128, 64, 32, 2, 2, 3, vector)     \
  X(tf32, 128, 64, 32, 2, 2, 3, pointwise)  \
  X(tf32, 64, 64, 32, 2, 2, 3, vector)      \
  X(tf32, 64, 64, 32, 2, 2, 3, pointwise)   \
  X(tf32, 64, 64, 16, 2, 2, 2, scalar)
#define AF_CONV_IGEMM_INT8(X)               \
  X(int8, 128, 128, 64, 2, 4, 3, vector)    \
  X(int8, 128, 128, 64, 2, 4, 3, pointwise) \
  X(int8, 64, 64, 128, 2, 2, 3, vector)     \
  X(int8, 64, 64, 128, 2, 2, 3, pointwise)
#define AF_CONV_IGEMM_INT8_SM75(X)       \
  X(int8, 128, 128, 64, 2, 4, 2, vector) \
  X(int8, 64, 64, 64, 2, 2, 2, vector)   \
  X(int8, 64, 64, 64, 2, 2, 2, scalar)

// X(rows, columns, depth, access) of the fp32 kernels without tensor cores. The largest have no
// registers left for what differs from phase to phase.
AF_HOST_DEVICE constexpr int simt_phases(int rows, int columns) {
  return rows * columns < 128 * 128 ? most_phases : 1;
}
#define AF_CONV_SIMT(X)     \
  X(128, 128, 8, vector)    \
  X(128, 128, 8, pointwise) \
  X(128, 64, 8, vector)     \
  X(128, 64, 8, pointwise)  \
  X(64, 64, 8, vector)      \
  X(64, 64, 8, pointwise)   \
  X(64, 64, 8, scalar)

// X(dtype, rows, columns, depth, warps along rows, along columns, stages, access) of the gradients
// of weights; fp32 has no warps and stages.
#define AF_CONV_WGRAD_16(X, dtype)        \
  X(dtype, 128, 128, 32, 2, 4, 4, vector) \
  X(dtype, 64, 64, 32, 2, 2, 4, vector)
#define AF_CONV_WGRAD_FP16(X) AF_CONV_WGRAD_16(X, fp16)
#define AF_CONV_WGRAD_FP16_SM75(X)     \
  X(fp16, 64, 64, 32, 2, 2, 2, vector) \
  X(fp16, 64, 64, 32, 2, 2, 2, scalar)
#define AF_CONV_WGRAD_BF16(X) \
  AF_CONV_WGRAD_16(X, bf16)   \
  X(bf16, 64, 64, 32, 2, 2, 2, scalar)
#define AF_CONV_WGRAD_TF32(X)            \
  X(tf32, 128, 128, 16, 2, 4, 4, vector) \
  X(tf32, 64, 64, 16, 2, 2, 4, vector)   \
  X(tf32, 64, 64, 16, 2, 2, 2, scalar)
#define AF_CONV_WGRAD_FP32(X) \
  X(128, 128, 8, vector)      \
  X(64, 64, 8, vector)        \
  X(64, 64, 8, scalar)

// X(dtype, columns, stages, blocks of a cluster, blocks of a multiprocessor, access) of the sm_90a
// kernels: 128 rows, 128 bytes of depth.
#define AF_CONV_WGMMA(X, dtype)     \
  X(dtype, 256, 4, 2, 1, vector)    \
  X(dtype, 256, 4, 2, 1, pointwise) \
  X(dtype, 256, 4, 1, 1, vector)    \
  X(dtype, 256, 4, 1, 1, pointwise) \
  X(dtype, 128, 6, 2, 1, vector)    \
  X(dtype, 128, 6, 2, 1, pointwise) \
  X(dtype, 64, 4, 1, 2, vector)     \
  X(dtype, 64, 4, 1, 2, pointwise)

inline constexpr int wgmma_rows = 128, wgmma_row_bytes = 128;
// Of 64 rows and 128 bytes that each multiplying warpgroup stores from: one is filled while another
// is read, where there is room.
AF_HOST_DEVICE constexpr int wgmma_slabs(int blocks) { return blocks == 1 ? 2 : 1; }
// Tiles, slabs of two warpgroups, two barriers a stage.
AF_HOST_DEVICE constexpr int wgmma_shared_bytes(int columns, int stages, int blocks) {
  return stages * ((wgmma_rows + columns) * wgmma_row_bytes + 16) + 2 * wgmma_slabs(blocks) * 8192;
}

}  // namespace alphaflops::cuda
