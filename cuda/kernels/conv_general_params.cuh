// Convolution of any shape, a thread an output: what the plan and the kernels share.
#pragma once

#include "conv_geometry.cuh"

namespace alphaflops::cuda {

inline constexpr int general_threads = 256;

struct ConvGeneralParams {
  const void* input;
  const void* weights;
  const void* bias;  // float, int for int8; or null
  void* output;
  ConvGeometry conv;
  long long outputs;               // of a thread each
  FastDivisor by_channels;         // outputs of a pixel
  FastDivisor by_w_out, by_h_out;  // pixels of a row, rows of an image
  FastDivisor by_group_out;
};

}  // namespace alphaflops::cuda
