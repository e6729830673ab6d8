// The highest rate that some work reaches.
#pragma once

#include <algorithm>

#include "clock.hpp"

namespace alphaflops {

/// Repeats `work`, which returns what it has done, for `duration_s`; the best rate of one call.
template <typename Work>
double best_rate(double duration_s, const Work& work) {
  double best = 0.0;
  const Clock::time_point start = Clock::now();
  Clock::time_point now = start;
  while (seconds(now - start) < duration_s) {
    const Clock::time_point before = Clock::now();
    const double done = work();
    now = Clock::now();
    best = std::max(best, done / seconds(now - before));
  }
  return best;
}

}  // namespace alphaflops
