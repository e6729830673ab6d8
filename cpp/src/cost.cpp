#include "alphaflops/cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

/// (a^p + b^p)^(1/p) for a, b >= 0, scaled so that neither power overflows.
double p_norm(double a, double b, double p) {
  const double big = std::max(a, b);
  const double small = std::min(a, b);
  if (small == 0.0) return big;
  if (p == 1.0) return a + b;
  return big * std::pow(1.0 + std::pow(small / big, p), 1.0 / p);
}

double p_norm(double a, double b, double c, double p) {
  if (p == 1.0) return a + b + c;
  const double big = std::max({a, b, c});
  if (big == 0.0) return 0.0;
  return big *
         std::pow(std::pow(a / big, p) + std::pow(b / big, p) + std::pow(c / big, p), 1.0 / p);
}

/// A convolution as an algorithm runs it.
struct Layout {
  double tiles;  // of all products together
  double depth;
  double read, written, weights;  // bytes
};

constexpr double kWinogradPoints = 36.0;  // of F(4x4, 3x3)
constexpr double kFftSide = 32.0;
constexpr double kFftPoints = kFftSide * (kFftSide / 2 + 1);
constexpr double kBytes = 4.0;  // what is transformed is kept in fp32

double tiles(double rows, double columns, const TileCandidate& c) {
  return std::ceil(rows / c.tile_rows) * std::ceil(columns / c.tile_columns);
}

bool applies(TileAlgorithm algorithm, const Launch& x) {
  const bool dense = x.stride == 1.0 && x.groups == 1.0;
  switch (algorithm) {
    case TileAlgorithm::winograd4:
    case TileAlgorithm::winograd2_fused:
      return dense && x.kernel_volume == 9.0 && x.kernel_width == 3.0;
    case TileAlgorithm::fft:
      return dense && x.kernel_volume > 1.0 && x.kernel_width < kFftSide / 2 &&
             x.kernel_width * x.kernel_width == x.kernel_volume;
    default: return true;
  }
}

/// Products of transformed tiles, `points` of them, with what is transformed written and read.
Layout transformed(const TileCandidate& c, const Launch& x, double blocks, double points,
                   double depth, double bytes) {
  return {.tiles = points * tiles(blocks, x.c_out, c),
          .depth = depth,
          .read = x.bytes_read + bytes * points * blocks * x.c_in,
          .written = x.bytes_written + bytes * points * blocks * x.c_out,
          .weights = bytes * points * x.c_in * x.c_out};
}

Layout layout_of(const TileCandidate& c, const Launch& x) {
  switch (c.algorithm) {
    case TileAlgorithm::winograd4: {
      const double blocks = x.batch * std::ceil(x.height / 4) * std::ceil(x.width / 4);
      return transformed(c, x, blocks, kWinogradPoints, x.c_in, kBytes);
    }
    case TileAlgorithm::fft: {
      const double side = kFftSide + 1 - x.kernel_width;
      const double blocks = x.batch * std::ceil(x.height / side) * std::ceil(x.width / side);
      return transformed(c, x, blocks, kFftPoints, 4 * x.c_in, 2 * kBytes);
    }
    case TileAlgorithm::winograd2_fused:
      return {x.batch * std::ceil(x.height / 8) * std::ceil(x.width / 16) *
                  std::ceil(x.c_out / c.tile_columns),
              x.c_in, x.bytes_read, x.bytes_written, 16 * kBytes * x.c_in * x.c_out};
    default: break;
  }
  Layout whole{0.0, x.depth(), x.bytes_read, x.bytes_written, x.weight_bytes};
  if (c.algorithm == TileAlgorithm::row_gemm) {
    whole.tiles = x.groups * x.batch * x.height * tiles(x.width, x.c_out, c);
  } else if (c.algorithm == TileAlgorithm::channelwise) {
    whole.tiles = tiles(x.rows(), x.groups * x.c_out, c);
  } else {
    whole.tiles = x.groups * tiles(x.rows(), x.c_out, c);
  }
  return whole;
}

double candidate_s(const TileCandidate& c, double processors, const Launch& x) {
  const Layout l = layout_of(c, x);
  const double u = l.tiles / processors;
  const double waves = (1 - c.whole_waves) * (u + c.start_waves) + c.whole_waves * std::ceil(u);
  return c.floor_s +
         c.seconds_per_mac * c.tile_rows * c.tile_columns * waves * (l.depth + c.depth_overhead) +
         c.seconds_per_byte_read * l.read + c.seconds_per_byte_written * l.written +
         c.seconds_per_weight_byte * l.weights;
}

constexpr std::array<std::string_view, 6> algorithm_names{
    "implicit_gemm", "row_gemm", "channelwise", "winograd4", "winograd2_fused", "fft"};

}  // namespace

std::string_view to_string(TileAlgorithm algorithm) {
  return algorithm_names[static_cast<std::size_t>(algorithm)];
}

TileAlgorithm parse_tile_algorithm(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < algorithm_names.size(); ++i) {
    if (algorithm_names[i] == name) return static_cast<TileAlgorithm>(i);
    known += (known.empty() ? "" : ", ") + std::string(algorithm_names[i]);
  }
  throw UnsupportedError("algorithm '" + std::string(name) + "' is not known; use one of " + known);
}

Launch launch_of(const WorkTable& w, std::size_t i) {
  const auto real = [i](const std::vector<std::int64_t>& column) {
    return static_cast<double>(column[i]);
  };
  const double size = static_cast<double>(size_of(w.dtype[i]));
  const double groups = real(w.groups);
  const double width = real(w.width);
  return {.batch = real(w.batch),
          .height = real(w.spatial) / width,
          .width = width,
          .c_in = real(w.c_in) / groups,
          .c_out = real(w.c_out) / groups,
          .groups = groups,
          .kernel_volume = real(w.kernel_volume),
          .kernel_width = real(w.kernel_width),
          .stride = real(w.stride),
          .macs = real(w.macs),
          .bytes_read = size * real(w.activations_read),
          .weight_bytes = size * real(w.weights_read),
          .bytes_written = size * real(w.elements_written),
          .padded_bytes = size * real(w.padded_elements),
          .biased = w.biased[i] != 0};
}

double alpha(double s, double kernel_volume, double beta, double gamma) {
  const double extent = std::max(s, 1.0);
  const double s_k = std::min(std::log(kernel_volume) + 1.0, extent);
  return std::pow((s_k + beta * (extent - s_k)) / extent, gamma);
}

double seconds(const AlphaCost& c, const Launch& x) {
  const double factor = alpha(x.rows(), x.kernel_volume, c.beta, c.gamma);
  return p_norm(c.floor_s, c.seconds_per_mac * factor * x.macs, c.sharpness);
}

double seconds(const TrafficCost& c, const Launch& x) {
  const double moved = c.seconds_per_byte_read * (x.bytes_read + x.weight_bytes) +
                       c.seconds_per_byte_written * x.bytes_written;
  return p_norm(c.floor_s, moved, c.sharpness);
}

double seconds(const RooflineCost& c, const Launch& x) {
  const double s = std::max(x.rows(), 1.0);
  const double compute = c.seconds_per_mac * alpha(s, x.kernel_volume, c.beta, c.gamma) * x.macs *
                         (1 + c.half_rows / s) * (1 + c.half_c_out / x.c_out) *
                         (1 + c.half_depth / x.depth());
  const double moved = c.seconds_per_weight_byte * x.weight_bytes +
                       c.seconds_per_byte_read * x.bytes_read +
                       c.seconds_per_byte_written * x.bytes_written;
  return p_norm(c.floor_s, compute, moved, c.sharpness);
}

double seconds(const TiledCost& c, const Launch& x) {
  constexpr std::size_t most = 16;  // as many as a profile may have
  std::array<double, most> times{};
  std::size_t n = 0;
  double least = std::numeric_limits<double>::infinity();
  for (const TileCandidate& candidate : c.candidates) {
    if (!applies(candidate.algorithm, x)) continue;
    times[n] = candidate_s(candidate, c.processors, x);
    least = std::min(least, times[n++]);
  }
  double sum = 0.0;
  for (std::size_t k = 0; k < n; ++k) {
    double share = least / times[k];
    for (int d = 0; d < c.doublings; ++d) share *= share;
    sum += share;
  }
  double root = sum;
  for (int d = 0; d < c.doublings; ++d) root = std::sqrt(root);
  return least / root + (x.biased ? c.seconds_per_biased_byte * x.bytes_written : 0.0) +
         c.seconds_per_padded_byte * x.padded_bytes;
}

std::string_view form_name(const Cost& cost) {
  constexpr std::array<std::string_view, 4> names{"alpha", "traffic", "roofline-alpha", "tiled"};
  return names[cost.index()];
}

}  // namespace alphaflops
