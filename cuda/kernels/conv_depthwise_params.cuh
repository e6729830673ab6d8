// Depthwise convolution: what the plan and the kernels share.
#pragma once

#include "conv_geometry.cuh"

// X(kernel, stride, columns, blocks): square windows without dilation; a thread has so many columns
// of four channels, and a multiprocessor so many blocks, which bounds registers.
#define AF_CONV_DEPTHWISE_TILES(X) \
  X(3, 1, 4, 3)                    \
  X(3, 1, 2, 4)                    \
  X(3, 2, 2, 4)                    \
  X(5, 1, 4, 2)                    \
  X(5, 1, 2, 3)                    \
  X(5, 2, 2, 3)                    \
  X(7, 1, 3, 2)                    \
  X(7, 2, 2, 2)

namespace alphaflops::cuda {

inline constexpr int depthwise_threads = 128;
inline constexpr int depthwise_width = 4;  // channels of a thread; eight of 16 bits spill

struct ConvDepthwiseParams {
  const void* input;
  const void* weights;
  const void* bias;  // float; or null
  void* output;
  ConvGeometry conv;
  PixelTile tile;          // of a thread; of any height
  int tiles;               // of all images
  int lane_bits;           // a block has 1 << so many lanes across channels; others go over tiles
  FastDivisor by_channel;  // blocks side by side across channels
  int flipped;             // taps in reverse: the gradient of the input where the stride is 1
};

}  // namespace alphaflops::cuda
