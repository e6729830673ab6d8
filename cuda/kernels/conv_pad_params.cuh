// Rows with zeros behind them: what the plan and the kernels share.
#pragma once

#include "types.cuh"

namespace alphaflops::cuda {

inline constexpr int pad_threads = 256;

struct ConvPadParams {
  const void* input;  // [row][channels]
  void* output;       // [row][pieces of 16 bytes]
  long long pieces;   // of all rows
  int channels;
  FastDivisor by_row_pieces;
};

}  // namespace alphaflops::cuda
