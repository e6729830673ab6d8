// How threads share a convolution.
//
// Two parts meet in whole rows, pixels or vectors of the output, so that at most the two cache
// lines at a border are written by both.
#include <algorithm>
#include <cstdint>
#include <string>

#include "alphaflops/error.hpp"
#include "conv_driver.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

struct Range {
  int64_t first, last;
};

Range share(int64_t count, int64_t grain, int64_t part, int64_t parts) {
  const int64_t grains = ceil_div(count, grain);
  const auto border = [&](int64_t i) {
    return std::min(count, (grains / parts * i + std::min(i, grains % parts)) * grain);
  };
  return {border(part), border(part + 1)};
}

// Work done while the longest share is, over what all parts could do meanwhile.
double balance(int64_t count, int64_t grain, int64_t parts) {
  const int64_t longest = ceil_div(ceil_div(count, grain), parts) * grain;
  return static_cast<double>(count) / static_cast<double>(longest * parts);
}

}  // namespace

void check_part(int part, int parts) {
  if (part < 0 || part >= parts) {
    throw ShapeError("conv2d: part " + std::to_string(part) + " of " + std::to_string(parts) +
                     "; it must be 0 or more and less than the parts");
  }
}

ConvPart part_of(const ConvPlan& plan, int part, int parts) {
  const Conv2dShape& s = plan.shape;
  const int64_t rows = s.batch * plan.h_out;
  const bool is_depthwise =
      plan.algorithm == ConvAlgorithm::depthwise || plan.algorithm == ConvAlgorithm::grouped;
  const int64_t blocks = is_depthwise ? 1 : s.groups * plan.group_blocks();
  int64_t units = rows, grain = 1;
  bool may_split_blocks = !is_depthwise;
  if (plan.algorithm == ConvAlgorithm::gemm) {
    units = rows * plan.w_out;
    grain = std::min(plan.unit_grain, units);
    may_split_blocks = plan.patch_pixels == 0;  // each part would gather every patch
  }
  if (plan.tile != 0) {
    units = s.batch * plan.tiles_h * plan.tiles_w;
    // Splitting channels, each part transforms every tile, but reads only its weights.
    constexpr int64_t kFewTiles = 32;
    may_split_blocks = units < kFewTiles * parts;
  }
  // Shares of a pixel's channels would otherwise meet within a cache line, in every pixel.
  constexpr int64_t kLineChannels = 16;
  may_split_blocks = may_split_blocks && plan.group_out % kLineChannels == 0 &&
                     plan.vectors * plan.lanes % kLineChannels == 0;
  if (may_split_blocks) {
    const double by_blocks = balance(blocks, 1, parts);
    const double by_units = balance(units, grain, parts);
    const bool heavy_weights = plan.packed_size > s.batch * s.h_in * s.w_in * plan.input_words;
    if (by_blocks > by_units + 0.01 || (by_blocks > by_units - 0.01 && heavy_weights)) {
      const Range range = share(blocks, 1, part, parts);
      return {range.first, range.last, 0, units};
    }
  }
  const Range range = share(units, grain, part, parts);
  return {0, blocks, range.first, range.last};
}

}  // namespace alphaflops
