#include "alphaflops/system.hpp"

#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <string>
#include <thread>

#include "alphaflops/probe.hpp"
#include "clock.hpp"
#include "platform.hpp"

namespace alphaflops {
namespace {

std::string compiler_name() {
#if defined(__clang__)
  return "clang " __clang_version__;
#elif defined(__GNUC__)
  return "gcc " __VERSION__;
#else
  return "unknown";
#endif
}

}  // namespace

double clock_resolution_s() {
  static const double resolution = [] {
    Clock::duration smallest = Clock::duration::max();
    for (int i = 0; i < 1000; ++i) {
      const Clock::time_point start = Clock::now();
      Clock::time_point now = start;
      while (now == start) now = Clock::now();
      smallest = std::min(smallest, now - start);
    }
    return seconds(smallest);
  }();
  return resolution;
}

double clock_cost_s() {
  static const double cost = [] {
    constexpr int readings = 64;
    std::array<double, 101> costs{};
    for (double& each : costs) {
      const Clock::time_point start = Clock::now();
      Clock::time_point now = start;
      for (int i = 0; i < readings; ++i) now = Clock::now();
      each = seconds(now - start) / readings;
    }
    std::nth_element(costs.begin(), costs.begin() + costs.size() / 2, costs.end());
    return costs[costs.size() / 2];
  }();
  return cost;
}

double estimate_clock_hz(double duration_s) {
  // Short runs, the fastest of which nothing interrupted.
  constexpr std::int64_t additions = 20'000;
  double best = 0.0;
  const Clock::time_point start = Clock::now();
  Clock::time_point now = start;
  do {
    const Clock::time_point before = Clock::now();
    const auto done = static_cast<double>(dependent_adds(additions));
    now = Clock::now();
    best = std::max(best, done / std::max(seconds(now - before), 1e-9));
  } while (seconds(now - start) < duration_s);
  return best;
}

SystemInfo system_info() {
  SystemInfo info;
  describe_machine(info);
  info.compiler = compiler_name();
  utsname name{};
  if (uname(&name) == 0) {
    info.kernel = std::string(name.sysname) + " " + name.release + " " + name.machine;
    if (info.cpu_model.empty()) info.cpu_model = name.machine;
  }
  info.logical_cpus = static_cast<int>(std::thread::hardware_concurrency());
  return info;
}

}  // namespace alphaflops
