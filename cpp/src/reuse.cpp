#include "alphaflops/reuse.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "alphaflops/error.hpp"

namespace alphaflops {

double WeightReuse::gain_at(double distance, double seconds) const {
  if (!(distance >= 0.0)) {
    std::ostringstream why;
    why << "reuse_bytes is " << distance << "; it must be a number of bytes, or inf for memory";
    throw ShapeError(why.str());
  }
  if (!(seconds >= 0.0)) {
    throw ShapeError("reuse_s is " + std::to_string(seconds) + "; it must be a number of seconds");
  }
  if (!known() || distance > distance_bytes.back()) return 0.0;
  const double kept = std::exp(-seconds / keep_s);
  const auto above = std::ranges::lower_bound(distance_bytes, distance);
  const auto i = static_cast<std::size_t>(above - distance_bytes.begin());
  if (i == 0) return (1.0 - share[0]) * kept;
  const double low = distance_bytes[i - 1], high = distance_bytes[i];
  const double at = std::log(distance / low) / std::log(high / low);
  return (1.0 - share[i - 1] - at * (share[i] - share[i - 1])) * kept;
}

double reuse_factor(const WorkTable& work, std::size_t i, const WeightReuse& reuse, double gain) {
  if (work.pass[i] != Pass::forward) return 1.0;
  const double rows = static_cast<double>(work.batch[i]) * static_cast<double>(work.spatial[i]);
  return reuse.factor(work.kind[i], std::max(rows, 1.0), gain);
}

Footprint footprint_of(const WorkTable& work) {
  Footprint touched;
  for (std::size_t i = 0; i < work.size(); ++i) {
    if (work.pass[i] != Pass::forward) return {.weights = from_memory};
    const auto element = static_cast<double>(size_of(work.dtype[i]));
    const double second = element * static_cast<double>(work.weights_read[i]);
    double launch = element * (static_cast<double>(work.activations_read[i]) +
                               static_cast<double>(work.elements_written[i]));
    // Of products of activations, what counts as weights is the second operand.
    const bool is_activation = work.kind[i] == Kind::matmul || work.kind[i] == Kind::attention;
    (is_activation ? launch : touched.weights) += second;
    touched.largest_launch = std::max(touched.largest_launch, launch);
  }
  return touched;
}

double reuse_distance_bytes(const WorkTable& work) {
  const Footprint touched = footprint_of(work);
  return touched.weights + touched.largest_launch;
}

}  // namespace alphaflops
