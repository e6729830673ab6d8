// What happens to a thread while a sample is taken.
#pragma once

#include <cstdint>
#include <string>

#include "alphaflops/error.hpp"
#include "alphaflops/measure.hpp"
#include "alphaflops/system.hpp"
#include "clock.hpp"

namespace alphaflops {

/// Counts steal and context switches from its construction to `finish`.
class Watch {
 public:
  Watch() : cpu_(current_cpu()), steal_s_(steal_time_s(cpu_)), switches_(involuntary_switches()) {}

  Sample finish(double total_s, std::int64_t iterations) const {
    Sample sample;
    sample.time_s = total_s / static_cast<double>(iterations);
    sample.iterations = iterations;
    sample.switches = involuntary_switches() - switches_;
    sample.wall_s = seconds(Clock::now() - start_);
    sample.steal_s = steal_time_s(cpu_) - steal_s_;
    sample.clock_hz = estimate_clock_hz();
    return sample;
  }

 private:
  int cpu_;
  double steal_s_;
  std::int64_t switches_;
  Clock::time_point start_ = Clock::now();
};

/// Raises ShapeError for fewer than one iteration.
inline void require_iterations(std::int64_t iterations) {
  if (iterations >= 1) return;
  throw ShapeError("a sample of " + std::to_string(iterations) + " iterations; take at least 1");
}

}  // namespace alphaflops
