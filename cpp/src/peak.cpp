#include <algorithm>
#include <cstdint>

#include "alphaflops/probe.hpp"
#include "alphaflops/system.hpp"
#include "memory.hpp"
#include "rate.hpp"

namespace alphaflops {

Peak probe_peak(Isa isa, double duration_s) {
  constexpr std::int64_t iterations = 20'000;
  constexpr std::int64_t least_floats = std::int64_t{1} << 25;  // 128 MiB
  Peak peak;
  peak.flops_per_s = best_rate(duration_s / 2, [&] { return peak_fma(isa, iterations); });
  const std::int64_t floats = std::max(least_floats, system_info().l3_bytes);  // 4 x the last level
  const Memory block(floats, "bandwidth probe");
  stream_fill(isa, block.data(), 1.0F, floats);
  volatile double sink = 0.0;  // keeps the sum from being optimised away
  peak.bytes_read_per_s = best_rate(duration_s / 2, [&] {
    sink = stream_sum(isa, block.data(), floats);
    return static_cast<double>(floats) * static_cast<double>(sizeof(float));
  });
  return peak;
}

}  // namespace alphaflops
