// Linux: files below /proc and /sys, and the scheduler's calls.
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <sstream>
#include <string>

#include "alphaflops/conv_bench.hpp"
#include "alphaflops/error.hpp"
#include "arm_names.hpp"
#include "platform.hpp"

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

std::string cpu_name() {
  const std::string name = cpuinfo("model name");
  return name.empty() ? arm_name(cpuinfo("CPU implementer"), cpuinfo("CPU part")) : name;
}

std::string hypervisor_name() {
  if (cpuinfo("flags").find(" hypervisor") == std::string::npos) return "";
  const std::string product = first_line("/sys/class/dmi/id/sys_vendor");
  const std::string type = first_line("/sys/hypervisor/type");
  return !type.empty() ? type : !product.empty() ? product : "unknown";
}

/// The number after `key` in a file of words, or the file's first number for an empty key; -1.
std::int64_t number_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    if (!key.empty() && word != key) continue;
    if (!key.empty() && !(file >> word)) break;
    std::int64_t value = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc{} ? value : -1;
  }
  return -1;
}

}  // namespace

void describe_machine(SystemInfo& info) {
  info.cpu_model = cpu_name();
  info.hypervisor = hypervisor_name();
  info.l1d_bytes = cache_bytes("1");
  info.l2_bytes = cache_bytes("2");
  info.l3_bytes = cache_bytes("3");
  info.memory_bytes = static_cast<std::int64_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE);
}

std::int64_t available_memory_bytes() {
  std::int64_t bytes = system_info().memory_bytes;
  if (const std::int64_t kib = number_in("/proc/meminfo", "MemAvailable:"); kib >= 0) {
    bytes = std::min(bytes, kib << 10);
  }
  const std::int64_t most = number_in("/sys/fs/cgroup/memory.max", "");
  const std::int64_t used = number_in("/sys/fs/cgroup/memory.current", "");
  const std::int64_t cache = number_in("/sys/fs/cgroup/memory.stat", "inactive_file");
  if (most >= 0 && used >= 0) {
    bytes =
        std::min(bytes, std::max<std::int64_t>(0, most - used + std::max<std::int64_t>(0, cache)));
  }
  return std::max<std::int64_t>(bytes, 1 << 20);
}

void discard_pages(void* first, std::size_t bytes) { madvise(first, bytes, MADV_DONTNEED); }

std::vector<int> thread_affinity() {
  std::vector<int> cpus;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) != 0) return cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) cpus.push_back(cpu);
  }
  return cpus;
}

bool bind_thread(std::thread::native_handle_type thread, const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) {
    if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(cpu, &set);
  }
  errno = pthread_setaffinity_np(thread, sizeof set, &set);
  return errno == 0;
}

void set_thread_affinity(const std::vector<int>& cpus) {
  if (bind_thread(pthread_self(), cpus)) return;
  const std::string why = std::strerror(errno);
  std::string names;
  for (const int cpu : cpus) names += (names.empty() ? "" : ", ") + std::to_string(cpu);
  throw Error("the thread cannot be bound to processor " + names + ": " + why +
              "; give some that it may run on");
}

int current_cpu() { return sched_getcpu(); }

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
  getrusage(RUSAGE_THREAD, &usage);
  return usage.ru_nivcsw;
}

}  // namespace alphaflops
