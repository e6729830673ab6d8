// A step of a recurrence: what the plan and the kernels share.
#pragma once

#include "types.cuh"

namespace alphaflops::cuda {

inline constexpr int recurrent_units = 4;  // hidden features of a block, each a warp's
inline constexpr int recurrent_cell_threads = 256;
inline constexpr int recurrent_rows = 8;  // images that share what is read of weights, in x16

// The codes of alphaflops::cuda::Cell.
enum CellCode : int { cell_rnn, cell_lstm, cell_gru };

// Elements from image to image, from token to token and from direction to direction.
struct RecurrentStrides {
  long long image, token, direction;
};

// Gates are PyTorch's, in its order: [gates][hidden]. The second direction begins at the last
// token.
struct RecurrentParams {
  const void* sums;      // of what every token brings
  const void* weights;   // [directions][gates][hidden][width]; of recurrent_step
  const void* products;  // of these with the state before; of recurrent_cell
  const float* bias;     // [directions][gates][hidden], of what the state brings, or null
  const void* before;    // the states, of which a step reads the one before it
  float* memory;         // of an LSTM: [directions][batch][hidden]
  void* output;
  RecurrentStrides at_sums, at_products, at_before, at_output;
  int cell, gates;
  int batch, length, directions, hidden, width;  // hidden features, and those of a state
  int step;                                      // at the first of which there is no state before
  FastDivisor by_hidden, by_batch;               // recurrent_cell
};

}  // namespace alphaflops::cuda
