#include "alphaflops/system.hpp"

#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <thread>

#include "alphaflops/error.hpp"
#include "alphaflops/probe.hpp"
#include "clock.hpp"

namespace alphaflops {
namespace {

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

/// "32K" or "1024K" or "32M" as bytes; 0 for anything else.
std::int64_t parse_size(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{}) return 0;
  if (end == text.data() + text.size()) return value;
  if (*end == 'K') return value << 10;
  if (*end == 'M') return value << 20;
  return *end == 'G' ? value << 30 : 0;
}

/// Size of the data or unified cache of that level.
std::int64_t cache_bytes(const std::string& level) {
  for (int index = 0; index < 8; ++index) {
    const std::string folder =
        "/sys/devices/system/cpu/cpu0/cache/index" + std::to_string(index) + "/";
    if (first_line(folder + "level") != level || first_line(folder + "type") == "Instruction") {
      continue;
    }
    return parse_size(first_line(folder + "size"));
  }
  return 0;
}

/// The value of a "key : value" line of /proc/cpuinfo.
std::string cpuinfo(const std::string& key) {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    const std::size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? "" : line.substr(begin);
  }
  return "";
}

std::string hypervisor_name() {
  if (cpuinfo("flags").find(" hypervisor") == std::string::npos) return "";
  const std::string product = first_line("/sys/class/dmi/id/sys_vendor");
  const std::string type = first_line("/sys/hypervisor/type");
  return !type.empty() ? type : !product.empty() ? product : "unknown";
}

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

std::vector<int> thread_affinity() {
  std::vector<int> cpus;
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
#endif
  return cpus;
}

void set_thread_affinity(const std::vector<int>& cpus) {
#ifdef __linux__
  cpu_set_t set;
  CPU_ZERO(&set);
  std::string names;
  for (const int cpu : cpus) {
    names += (names.empty() ? "" : ", ") + std::to_string(cpu);
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  if (sched_setaffinity(0, sizeof set, &set) != 0) {
    throw Error("the thread cannot be bound to processor " + names + ": " + std::strerror(errno) +
                "; give some that it may run on");
  }
#else
  static_cast<void>(cpus);
#endif
}

int current_cpu() {
#ifdef __linux__
  return sched_getcpu();
#else
  return -1;
#endif
}

double steal_time_s(int cpu) {
  // The line is "cpu0 user nice system idle iowait irq softirq steal ...", in clock ticks.
  std::ifstream file("/proc/stat");
  const std::string wanted = cpu < 0 ? "cpu" : "cpu" + std::to_string(cpu);
  for (std::string line; std::getline(file, line) && line.compare(0, 3, "cpu") == 0;) {
    std::istringstream fields(line);
    std::string name;
    fields >> name;
    if (name != wanted) continue;
    std::int64_t ticks = 0;
    for (int field = 0; field < 8; ++field) fields >> ticks;
    return fields ? static_cast<double>(ticks) / static_cast<double>(sysconf(_SC_CLK_TCK)) : 0.0;
  }
  return 0.0;
}

std::int64_t involuntary_switches() {
  rusage usage{};
#ifdef RUSAGE_THREAD
  getrusage(RUSAGE_THREAD, &usage);
#else
  getrusage(RUSAGE_SELF, &usage);
#endif
  return usage.ru_nivcsw;
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
  info.cpu_model = cpuinfo("model name");
  info.hypervisor = hypervisor_name();
  info.compiler = compiler_name();
  utsname name{};
  if (uname(&name) == 0) {
    info.kernel = std::string(name.sysname) + " " + name.release + " " + name.machine;
    if (info.cpu_model.empty()) info.cpu_model = name.machine;
  }
  info.logical_cpus = static_cast<int>(std::thread::hardware_concurrency());
  info.l1d_bytes = cache_bytes("1");
  info.l2_bytes = cache_bytes("2");
  info.l3_bytes = cache_bytes("3");
  info.memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
  return info;
}

}  // namespace alphaflops
