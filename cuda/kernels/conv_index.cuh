// Where the rows, columns and depth of a matrix product lie in the tensors of a convolution.
//
//     C[row][column] = sum over depth of A[row][depth] B[column][depth]
//
// A row is a pixel (image, i, j) of the result, a column one of its channels, and the depth runs
// over (tap_h, tap_w, channel) with the channel fastest. The pixel that row and tap meet at is
//
//     y = i step_h + origin_h + tap_h reach_h,   x = j step_w + origin_w + tap_w reach_w
//
// and counts as zero outside of the source. A forward convolution is this with step = stride,
// origin = -padding and reach = dilation; the gradient of the input is one such product for each
// phase of the stride, with step = 1 and a reach that may be negative (cuda/plan/conv_map.cpp).
// Phases differ in their origins and taps. They have the same rows: where one has fewer pixels, the
// last of an image lie outside of the result. Offsets count elements.
#pragma once

#include "types.cuh"

namespace alphaflops::cuda {

inline constexpr int most_phases = 16;  // of one launch

// A kernel of one phase finds all this at a fixed place of its parameter, which takes no registers.
struct ConvPhase {
  int depth;  // taps * channels
  FastDivisor by_taps_w;
  int origin_h, origin_w, result_origin_h, result_origin_w;
  int weight;  // where the first tap begins
};

struct ConvMap {
  int rows, columns;  // of one group and phase
  int channels;       // of a group in the source
  FastDivisor by_channels, by_width, by_image;
  int source_h, source_w, source_pitch;  // pitch: channels of all groups
  int step_h, step_w, reach_h, reach_w;
  int weight_pitch, weight_tap_h, weight_tap_w;  // from column to column, and from tap to tap
  int result_h, result_w, result_pitch;
  int result_group;  // from group to group
  int result_step_h, result_step_w;
  int phase_count;
  ConvPhase phases[most_phases];  // the deepest first
};

// A row's pixel in the source for the first tap, and where its channels begin.
struct SourceRow {
  long long offset;
  int y, x;
};

AF_HOST_DEVICE SourceRow source_row(const ConvMap& map, const ConvPhase& phase, int row) {
  unsigned rest = static_cast<unsigned>(row);
  const int image = static_cast<int>(divide_keep(rest, map.by_image));
  const int i = static_cast<int>(divide_keep(rest, map.by_width));
  const int y = i * map.step_h + phase.origin_h;
  const int x = static_cast<int>(rest) * map.step_w + phase.origin_w;
  const long long pixel = (static_cast<long long>(image) * map.source_h + y) * map.source_w + x;
  return {pixel * map.source_pitch, y, x};
}

// How far a depth lies from the first tap's first channel.
struct DepthStep {
  int y, x;
  int source, weight;
};

AF_HOST_DEVICE DepthStep depth_step(const ConvMap& map, const ConvPhase& phase, int depth) {
  unsigned channel = static_cast<unsigned>(depth);
  unsigned tap_w = divide_keep(channel, map.by_channels);
  const int tap_h = static_cast<int>(divide_keep(tap_w, phase.by_taps_w));
  const int y = tap_h * map.reach_h, x = static_cast<int>(tap_w) * map.reach_w;
  return {y, x, (y * map.source_w + x) * map.source_pitch + static_cast<int>(channel),
          tap_h * map.weight_tap_h + static_cast<int>(tap_w) * map.weight_tap_w +
              static_cast<int>(channel)};
}

AF_HOST_DEVICE bool inside(const ConvMap& map, int y, int x) {
  return static_cast<unsigned>(y) < static_cast<unsigned>(map.source_h) &&
         static_cast<unsigned>(x) < static_cast<unsigned>(map.source_w);
}

// Negative outside of the result.
AF_HOST_DEVICE long long result_offset(const ConvMap& map, const ConvPhase& phase, int row) {
  unsigned rest = static_cast<unsigned>(row);
  const int image = static_cast<int>(divide_keep(rest, map.by_image));
  const int i = static_cast<int>(divide_keep(rest, map.by_width));
  const int y = i * map.result_step_h + phase.result_origin_h;
  const int x = static_cast<int>(rest) * map.result_step_w + phase.result_origin_w;
  if (y >= map.result_h || x >= map.result_w) return -1;
  return ((static_cast<long long>(image) * map.result_h + y) * map.result_w + x) * map.result_pitch;
}

}  // namespace alphaflops::cuda
