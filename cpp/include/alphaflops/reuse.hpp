// Weights that a device still finds in a cache.
//
// A network that runs again and again reads the same weights in every run. In between it touches
// all else that it has: that many bytes are the weights' reuse distance. Where a cache holds as
// much, they are read from there, in a share of the time that memory takes; otherwise from memory,
// which is what operators are timed and fitted with. Others who share a cache take it away in time.
// A launch gains as far as it waits for weights, and how far that is depends on S, since each
// weight is used S times:
//
//     gain = (1 - share(distance)) exp(-seconds / keep_s)
//     time = time from memory * (1 - gain / (1 + (S - 1) / half_rows))
#pragma once

#include <array>
#include <cstddef>
#include <limits>
#include <vector>

#include "alphaflops/work.hpp"

namespace alphaflops {

/// A reuse distance that no cache holds.
inline constexpr double from_memory = std::numeric_limits<double>::infinity();

/// What a device gains from weights in its caches; by default nothing.
struct WeightReuse {
  // Ascending, and as many; between them, linear in the logarithm of the distance.
  std::vector<double> distance_bytes{};
  std::vector<double> share{};  // of the time that reading from memory takes, above 0 and at most 1
  std::array<double, kind_count> half_rows{};  // S - 1 at which half is gained; 0: nothing
  double keep_s = std::numeric_limits<double>::infinity();  // after which 1/e of the gain is left

  bool known() const { return !distance_bytes.empty(); }
  /// What is gained at a distance of so many bytes and seconds: 1 - share, 0 beyond the last one.
  /// Raises ShapeError for a negative distance.
  double gain_at(double bytes, double seconds) const;
  /// What becomes of the time of a launch with S = `rows`, where as much is gained.
  double factor(Kind kind, double rows, double gain) const {
    const double half = half_rows[static_cast<std::size_t>(kind)];
    return half > 0.0 ? 1.0 - gain * half / (half + rows - 1.0) : 1.0;
  }
};

/// The factor of row i of a table: 1 in a step of training.
double reuse_factor(const WorkTable& work, std::size_t i, const WeightReuse& reuse, double gain);

/// Bytes that one run of some launches touches.
struct Footprint {
  double weights = 0.0;
  double largest_launch = 0.0;  // its activations, read and written
};
/// Of forward launches. A step of training touches more than a cache holds: from_memory.
Footprint footprint_of(const WorkTable& work);

/// The reuse distance of a network's weights: they and the tensors of its largest launch.
double reuse_distance_bytes(const WorkTable& work);

}  // namespace alphaflops
