// Operators that move data: what the plans and the kernels share.
//
// Tensors are of the dtype, scale, shift, weights and bias of a norm are float. A kernel's name
// ends in how it reads: x16 has 16 bytes a thread and access, x1 one element.
#pragma once

#include "types.cuh"

namespace alphaflops::cuda {

inline constexpr int stream_threads = 256;
inline constexpr int stream_unroll = 4;    // accesses of a thread, on their way together
inline constexpr int pool_lanes = 8;       // of a global pool's block across channels
inline constexpr int row_warp_packs = 8;   // of a row that a lane of a warp keeps in registers
inline constexpr int row_block_packs = 4;  // the same of a thread of a block

struct ElementwiseParams {
  const void* input;
  const void* second;    // add, multiply
  const float* weights;  // scale_shift
  const float* bias;
  void* output;
  long long packs;
  int activation;
  float sign, second_sign;       // add: of either operand
  int divides;                   // multiply: by the second operand's reciprocal
  FastDivisor by_channel_packs;  // packs of a pixel; scale_shift
  // Where the second operand is smaller: [blocks][length] of it is read as
  // [blocks][repeats][length], again and again. `by_channel_packs` then divides by the packs of a
  // length.
  FastDivisor by_repeats, by_blocks;
};

struct PoolParams {
  const void* input;
  void* output;
  long long packs;  // of the output
  int h_in, w_in, h_out, w_out, channels;
  int k_h, k_w, stride_h, stride_w, pad_top, pad_left, dilation_h, dilation_w;
  int padded_h, padded_w;  // end of the padding: an average counts no further
  int count_padding;
  FastDivisor by_channel_packs, by_w_out, by_h_out;
};

struct GlobalPoolParams {
  const void* input;
  void* output;
  int pixels, channels;
  float scale;
  FastDivisor by_blocks;  // of an image across channels
};

struct RowParams {
  const void* input;
  const float* weights;  // layer_norm
  const float* bias;
  void* output;
  int rows, columns;
  float inverse_columns, epsilon;
  // softmax of `scale` x. Behind a causal mask it is over `first_columns` of the first row of a
  // length, and one more in each that follows; 0: over all of them.
  float scale;
  int first_columns;
  FastDivisor by_length;
  // masked_softmax: added to scaled x, for each [image][head][row].
  const void* mask;
  long long mask_outer, mask_inner, mask_row;
  FastDivisor by_rows, by_heads;
};

inline constexpr int concat_parts = 32;

// Counts units, which are what moves as one.
struct ConcatPart {
  const void* input;
  long long units;
  long long stride;    // from row to row
  FastDivisor by_row;  // units of a row
  int first_column;    // of the output
  unsigned first_block;
};

struct ConcatParams {
  void* output;
  int output_stride;
  ConcatPart part[concat_parts];  // those that are not there begin behind the last block
};

inline constexpr int copy_rank = 5;

// y[i0] .. [i4] = x[sum of stride (i + shift)], the last in units and dense in y; i + shift comes
// round to 0 at the extent where there is a shift, else zeros follow.
struct CopyAxesParams {
  const void* input;
  void* output;
  long long units;
  long long stride[copy_rank];
  int shift[copy_rank], extent[copy_rank];
  FastDivisor by_size[copy_rank];  // of y; the first is not read
};

struct LookupParams {
  const int* input;  // rows of the table, taken modulo their number
  const void* weights;
  void* output;
  long long packs;
  int row_packs;
  FastDivisor by_row_packs, by_rows;
};

struct TransposeParams {
  const void* input;  // [batch][rows][columns]
  void* output;       // [batch][columns][rows]
  int rows, columns;
  FastDivisor by_across, by_image;  // tiles of a row of tiles, of a matrix
};

}  // namespace alphaflops::cuda
