// Convolution of narrow groups: what the plan and the kernel share.
#pragma once

#include "conv_geometry.cuh"

// X(pixels of a thread, channels it takes at a time): group sizes are multiples of the latter.
#define AF_CONV_GROUPED_TILES(X) X(8, 4) X(4, 4) X(2, 4) X(8, 2) X(4, 2)

namespace alphaflops::cuda {

inline constexpr int grouped_threads = 256;
inline constexpr int grouped_widest =
    32;  // channels of a group at most: wider ones fill a matrix tile

struct ConvGroupedParams {
  const void* input;
  const void* weights;
  const void* bias;  // float, int for int8; or null
  void* output;
  ConvGeometry conv;
  PixelTile tile;
  int block_groups;  // groups of a block; of the last one fewer
  int pixel_lanes;   // threads = pixel_lanes * (block_groups * group_out / width)
  int pitch;         // of a pixel of the patch in shared memory
  FastDivisor by_tile_width, by_channel_lanes, by_lanes_of_group, by_patch_packs, by_block_out;
};

}  // namespace alphaflops::cuda
