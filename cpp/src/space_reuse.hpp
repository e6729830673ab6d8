// Weights that stay in a cache, as sums over the parts of a network.
#pragma once

#include <optional>
#include <vector>

#include "alphaflops/reuse.hpp"
#include "space_parts.hpp"

namespace alphaflops {

/// What a part takes with weights from memory, and how much of it a gain of 1 would take away.
struct PartTime {
  double time_s = 0.0, gained_s = 0.0;
};

/// time of a network = constant_s + sum over its parts of (slope * time_s - gain * gained_s)
struct ReuseSums {
  double constant_s = 0.0, slope = 1.0, gain = 0.0;
};

/// How much a network gains depends on all of it: on its bytes, and on its time (reuse.hpp). Costs
/// that are sums cannot follow that to the last digit. These have the least squares of relative
/// errors over networks of the space, from cheap to dear. `reuse_bytes` is a distance that all
/// networks share; without it, each has its own. `overhead_s` is what every network takes on top.
ReuseSums reuse_sums(const WeightReuse& reuse, const Parts& parts,
                     const std::vector<PartTime>& times, const std::vector<Position>& positions,
                     double overhead_s, std::optional<double> reuse_bytes);

}  // namespace alphaflops
