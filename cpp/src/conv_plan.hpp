// How a convolution is cut into what the kernels do; all that does not depend on the values.
//
// Lengths along input channels count words, the four bytes that a kernel broadcasts at once: one
// fp32, two bf16 or four int8 channels. Weights are packed so that a kernel reads them in order:
// blocks of output channels as wide as a register tile, and within one
// [word block][k_h][k_w][word][lane][channel of the word].
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "../kernels/tables.hpp"
#include "alphaflops/conv.hpp"

namespace alphaflops {

// Some pixels of a tile and the kernel columns that reach input from all of them.
struct ConvSegment {
  std::int64_t pixel, pixels;
  std::int64_t column, columns;
  bool opens, closes;  // first and last of its tile
};

struct ConvPlan {
  Conv2dShape shape;
  Isa isa = Isa::scalar;
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;
  std::int64_t h_out = 0, w_out = 0;
  std::int64_t group_in = 0, group_out = 0;  // channels of a group
  std::int64_t per_word = 1;                 // input channels of a word
  std::int64_t group_words = 0;              // of input channels, the last filled up with zeros
  std::int64_t input_words = 0;              // from one input pixel to the next
  // Words of the workspace that take a copy of the input, where channels do not fill whole words.
  std::int64_t filled_size = 0;
  std::int64_t packed_size = 0, workspace_size = 0;  // in words
  std::int64_t lanes = 1;
  std::int64_t vectors = 1;  // of output channels in a block, the last block may have fewer
  std::int64_t group_vectors = 1;
  std::int64_t depth = 0;         // input words (direct) or panel rows (gemm) taken at once
  std::int64_t patch_pixels = 0;  // pixels gathered at once, 0 where the input is the matrix
  std::int64_t patch_stride = 0;
  std::int64_t unit_grain = 1;  // gemm: pixels of a register tile
  std::int64_t tile = 0;        // winograd: outputs of a tile along each axis
  std::int64_t tiles_h = 0, tiles_w = 0;
  std::int64_t tile_block = 0;                     // tiles transformed at once
  std::int64_t tile_words = 0;                     // from one transformed tile to the next
  std::int64_t position_in = 0, position_out = 0;  // from one position to the next, in words
  std::vector<ConvSegment> row;                    // direct: a row of outputs

  std::int64_t group_blocks() const { return (group_vectors + vectors - 1) / vectors; }
  std::int64_t taps() const { return shape.k_h * shape.k_w; }
  std::int64_t positions() const { return (tile + 2) * (tile + 2); }
};

// What planning has to know of the kernels.
struct ConvKernelSizes {
  kernels::TileSizes direct, gemm;
  int depthwise_lanes;  // 0 where there is no such kernel
  int grouped_lanes;    // 0 where there is no such kernel
  bool winograd;
  int per_word;
};

inline constexpr std::int64_t kDepthwiseRows = 8;  // tallest kernel with tiles of several pixels

/// Raises what the constructor of Conv2d does, but for the instruction set.
ConvPlan make_plan(const Conv2dShape& shape, Isa isa, ConvAlgorithm algorithm,
                   const ConvKernelSizes& sizes);

constexpr std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

// The kernel taps along one axis that reach input from output position `out`: [first, last).
struct Taps {
  std::int64_t first, last;
};

inline Taps taps_of(std::int64_t out, std::int64_t in, std::int64_t kernel, std::int64_t stride,
                    std::int64_t before, std::int64_t dilation) {
  const std::int64_t origin = out * stride - before;
  const std::int64_t first = origin < 0 ? ceil_div(-origin, dilation) : 0;
  const std::int64_t last = origin < in ? std::min(kernel, (in - 1 - origin) / dilation + 1) : 0;
  return {first, std::max(first, last)};
}

}  // namespace alphaflops
