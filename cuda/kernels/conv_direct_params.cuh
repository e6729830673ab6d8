// Convolution of few input channels: what the plan and the kernel share.
#pragma once

#include "conv_geometry.cuh"

// X(pixels of a thread, channels of a thread, lanes across channels); 256 threads.
// A block has 256 / lanes * pixels output pixels and channels * lanes output channels.
#define AF_CONV_DIRECT_TILES(X) X(8, 8, 8) X(4, 8, 8) X(4, 8, 4) X(4, 4, 4)

namespace alphaflops::cuda {

inline constexpr int direct_threads = 256;
inline constexpr int direct_channels = 4;  // of the input at most: a pixel is one 16-byte access

struct ConvDirectParams {
  const void* input;
  const void* weights;
  const void* bias;  // float, int for int8; or null
  void* output;
  ConvGeometry conv;
  PixelTile tile;
  FastDivisor by_tile_width;
};

// Sums in shared memory: the patch of the input, four a pixel, then the weights of a channel block.
AF_HOST_DEVICE int direct_patch_elements(const PixelTile& t) {
  return t.patch_height * t.patch_width * direct_channels;
}
AF_HOST_DEVICE int direct_weight_elements(const ConvGeometry& g, int block_channels) {
  return g.k_h * g.k_w * g.c_in * block_channels;
}

}  // namespace alphaflops::cuda
