// The tiled form: every candidate algorithm in tiles and waves, and their soft minimum.
#pragma once

#include "cost_table.hpp"
#include "real.inl"

namespace alphaflops::kernels {
namespace {

/// What the candidates of a tiled cost share.
struct Shape {
  double batch[kCostRows], height[kCostRows], width[kCostRows];
  double c_in[kCostRows], c_out[kCostRows], groups[kCostRows];          // channels of one group
  double volume[kCostRows], kernel_width[kCostRows], dense[kCostRows];  // stride and groups are 1
  double read[kCostRows], weights[kCostRows], written[kCostRows];
};

constexpr double kWinogradPoints = 36.0;  // of F(4x4, 3x3)
constexpr double kFftSide = 32.0;
constexpr double kFftPoints = kFftSide * (kFftSide / 2 + 1);
constexpr double kBytes = 4.0;  // what is transformed is kept in fp32

/// A convolution as an algorithm runs it.
struct Layout {
  double tiles;   // of all products together
  double starts;  // of the products that do not run side by side
  double depth;
  double read, written, weights;  // bytes
};

/// Products of transformed tiles, `points` of them, with what is transformed written and read.
AF_REAL Layout transformed(const TileCandidate& c, const Shape& x, int i, double blocks,
                           double points, double depth, double bytes) {
  return {
      points * __builtin_ceil(blocks / c.tile_rows) * __builtin_ceil(x.c_out[i] / c.tile_columns),
      1.0,
      depth,
      x.read[i] + bytes * points * blocks * x.c_in[i],
      x.written[i] + bytes * points * blocks * x.c_out[i],
      bytes * points * x.c_in[i] * x.c_out[i]};
}

template <TileAlgorithm algorithm>
AF_REAL Layout layout_of(const TileCandidate& c, const Shape& x, int i) {
  const double batch = x.batch[i], height = x.height[i], width = x.width[i];
  const double c_in = x.c_in[i], c_out = x.c_out[i], groups = x.groups[i];
  if constexpr (algorithm == TileAlgorithm::winograd4) {
    const double blocks = batch * __builtin_ceil(height / 4) * __builtin_ceil(width / 4);
    return transformed(c, x, i, blocks, kWinogradPoints, c_in, kBytes);
  } else if constexpr (algorithm == TileAlgorithm::fft) {
    const double side = kFftSide + 1 - x.kernel_width[i];
    const double blocks = batch * __builtin_ceil(height / side) * __builtin_ceil(width / side);
    return transformed(c, x, i, blocks, kFftPoints, 4 * c_in, 2 * kBytes);
  } else if constexpr (algorithm == TileAlgorithm::winograd2_fused) {
    return {batch * __builtin_ceil(height / 8) * __builtin_ceil(width / 16) *
                __builtin_ceil(c_out / c.tile_columns),
            1.0,
            c_in,
            x.read[i],
            x.written[i],
            16 * kBytes * c_in * c_out};
  } else {
    double rows = batch * height * width, columns = c_out, products = groups, starts = 1.0;
    if constexpr (algorithm == TileAlgorithm::row_gemm) {
      rows = width;
      products = groups * batch * height;
    } else if constexpr (algorithm == TileAlgorithm::group_gemm) {
      starts = groups;
    } else if constexpr (algorithm != TileAlgorithm::implicit_gemm) {
      columns = groups * c_out;
      products = 1.0;
    }
    return {
        products * __builtin_ceil(rows / c.tile_rows) * __builtin_ceil(columns / c.tile_columns),
        starts,
        c_in * x.volume[i],
        x.read[i],
        x.written[i],
        x.weights[i]};
  }
}

template <TileAlgorithm algorithm>
AF_REAL bool applies(const Shape& x, int i) {
  const double volume = x.volume[i], width = x.kernel_width[i];
  if constexpr (algorithm == TileAlgorithm::fft) {
    const bool square = width * width == volume;
    return (x.dense[i] > 0) & (volume > 1) & (width < kFftSide / 2) & square;
  } else if constexpr (algorithm >= TileAlgorithm::winograd4) {
    return (x.dense[i] > 0) & (volume == 9) & (width == 3);
  } else if constexpr (algorithm == TileAlgorithm::depthwise) {
    return (volume > 1) & (x.c_in[i] == 1.0) & (x.c_out[i] == 1.0);
  } else {
    return true;
  }
}

template <TileAlgorithm algorithm>
void candidate(const TileCandidate& candidate, double processors, const Shape& x, int n,
               double* time_s) {
  const TileCandidate c = candidate;
  const double tile_s = c.seconds_per_mac * c.tile_rows * c.tile_columns;
  for (int i = 0; i < n; ++i) {
    const Layout l = layout_of<algorithm>(c, x, i);
    const double u = l.tiles / processors;
    const double waves =
        (1 - c.whole_waves) * (u + c.start_waves * l.starts) + c.whole_waves * __builtin_ceil(u);
    const double time = c.floor_s + tile_s * waves * (l.depth + c.depth_overhead) +
                        c.seconds_per_byte_read * l.read + c.seconds_per_byte_written * l.written +
                        c.seconds_per_weight_byte * l.weights;
    time_s[i] = applies<algorithm>(x, i) ? time : __builtin_inf();
  }
}

// In the order of TileAlgorithm.
void (*const kCandidate[])(const TileCandidate&, double, const Shape&, int, double*) = {
    candidate<TileAlgorithm::implicit_gemm>,   candidate<TileAlgorithm::row_gemm>,
    candidate<TileAlgorithm::channelwise>,     candidate<TileAlgorithm::group_gemm>,
    candidate<TileAlgorithm::depthwise>,       candidate<TileAlgorithm::winograd4>,
    candidate<TileAlgorithm::winograd2_fused>, candidate<TileAlgorithm::fft>};

void tiled(const TiledTerms* cost, const TileCandidate* candidates, int count,
           const LaunchColumns* columns, int n, double* time_s) {
  const LaunchColumns x = *columns;
  Shape shape;
  for (int i = 0; i < n; ++i) {
    shape.batch[i] = real(x.batch[i]);
    shape.width[i] = real(x.width[i]);
    shape.height[i] = real(x.spatial[i]) / shape.width[i];
    shape.groups[i] = real(x.groups[i]);
    shape.c_in[i] = real(x.c_in[i]) / shape.groups[i];
    shape.c_out[i] = real(x.c_out[i]) / shape.groups[i];
    shape.volume[i] = real(x.kernel_volume[i]);
    shape.kernel_width[i] = real(x.kernel_width[i]);
    shape.dense[i] = ((real(x.stride[i]) == 1.0) & (shape.groups[i] == 1.0)) ? 1.0 : 0.0;
    shape.read[i] = x.element_bytes * real(x.activations_read[i]);
    shape.weights[i] = x.element_bytes * real(x.weights_read[i]);
    shape.written[i] = x.element_bytes * real(x.elements_written[i]);
  }
  double times[most_candidates][kCostRows], least[kCostRows], sum[kCostRows];
  for (int i = 0; i < n; ++i) least[i] = __builtin_inf(), sum[i] = 0.0;
  for (int k = 0; k < count; ++k) {
    kCandidate[static_cast<int>(candidates[k].algorithm)](candidates[k], cost->processors, shape, n,
                                                          times[k]);
    for (int i = 0; i < n; ++i) least[i] = smaller(least[i], times[k][i]);
  }
  for (int k = 0; k < count; ++k) {
    double* share = times[k];
    for (int i = 0; i < n; ++i) share[i] = least[i] / larger(share[i], kLeast);
    for (int d = 0; d < cost->doublings; ++d) {
      for (int i = 0; i < n; ++i) share[i] *= share[i];
    }
    for (int i = 0; i < n; ++i) sum[i] += share[i];
  }
  for (int d = 0; d < cost->doublings; ++d) {
    for (int i = 0; i < n; ++i) sum[i] = __builtin_sqrt(sum[i]);
  }
  const double padded = cost->seconds_per_padded_byte * x.element_bytes;
  const double biased = cost->seconds_per_biased_byte;
  for (int i = 0; i < n; ++i) {
    const double bias = x.biased[i] != 0 ? biased : 0.0;
    time_s[i] = least[i] / larger(sum[i], kLeast) + bias * shape.written[i] +
                padded * real(x.padded_elements[i]);
  }
}

}  // namespace
}  // namespace alphaflops::kernels
