// Depthwise convolution: what the plan and the kernels share.
#pragma once

#include "conv_geometry.cuh"

// X(kernel, stride, rows, columns): square windows without dilation; a thread has rows x columns
// output pixels of four channels.
#define AF_CONV_DEPTHWISE_TILES(X) \
  X(3, 1, 4, 4)                    \
  X(3, 1, 2, 4)                    \
  X(3, 1, 1, 4)                    \
  X(3, 2, 2, 4)                    \
  X(3, 2, 1, 4)                    \
  X(5, 1, 2, 4)                    \
  X(5, 1, 1, 4)                    \
  X(5, 2, 2, 2)                    \
  X(5, 2, 1, 2)                    \
  X(7, 1, 1, 4)                    \
  X(7, 2, 1, 2)

namespace alphaflops::cuda {

inline constexpr int depthwise_threads = 256;
inline constexpr int depthwise_width = 4;  // channels of a thread; eight of 16 bits spill

struct ConvDepthwiseParams {
  const void* input;
  const void* weights;
  const void* bias;  // float; or null
  void* output;
  ConvGeometry conv;
  PixelTile tile;  // of a thread
  int tiles;       // of all images
  int lanes;       // of a block across channels, a power of two; the others go over tiles
  int flipped;     // taps in reverse: the gradient of the input where the stride is 1
};

}  // namespace alphaflops::cuda
