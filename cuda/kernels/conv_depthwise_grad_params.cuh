// Gradients of depthwise convolution: what the plans and the kernels share.
#pragma once

#include "conv_geometry.cuh"

namespace alphaflops::cuda {

inline constexpr int depthwise_grad_threads = 256;
inline constexpr int depthwise_grad_width = 4;  // channels of a thread

// Of the input, where the stride is not 1: a thread an input pixel.
struct DepthwiseInputGradParams {
  const void* output_gradient;
  const void* weights;
  void* output;
  ConvGeometry conv;
  long long items;  // input pixels * packs of channels
  FastDivisor by_channel_packs, by_w_in, by_h_in, by_stride_h, by_stride_w;
};

// Of the weights: blocks have a run of output pixels, some channels and a row of taps each.
struct DepthwiseWeightGradParams {
  const void* input;
  const void* output_gradient;
  void* partials;  // float [run][tap][channel]
  ConvGeometry conv;
  int pixels, run;  // output pixels of all images, of a run
  int lanes;        // of a warp across channels, a power of two
  int taps_of_row;  // blocks of taps that cover a row of the window
  FastDivisor by_w_out, by_h_out;
};

// Adds the runs in order.
struct DepthwiseReduceParams {
  const void* partials;
  void* output;  // [channel][tap]
  int runs, taps, channels;
  FastDivisor by_channels;
};

// Float partial sums of a block's warps in shared memory: [warp][tap][channel].
AF_HOST_DEVICE int depthwise_grad_shared(int taps, int lanes) {
  return depthwise_grad_threads / 32 * taps * lanes * depthwise_grad_width;
}

}  // namespace alphaflops::cuda
