// macOS: sysctl and Mach. It places threads itself, and says neither where one runs nor what a
// hypervisor takes.
#include <mach/mach.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysctl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <initializer_list>
#include <string>

#include "alphaflops/conv_bench.hpp"
#include "platform.hpp"

namespace alphaflops {
namespace {

/// The first of these numbers that the system has; 0 for none.
std::int64_t number_of(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    std::int64_t value = 0;  // the low bytes are the first: narrower ones fit
    std::size_t size = sizeof value;
    if (sysctlbyname(name, &value, &size, nullptr, 0) == 0 && value > 0) return value;
  }
  return 0;
}

std::string text_of(const char* name) {
  std::array<char, 256> text{};
  std::size_t size = text.size() - 1;
  return sysctlbyname(name, text.data(), &size, nullptr, 0) == 0 ? text.data() : "";
}

}  // namespace

void describe_machine(SystemInfo& info) {
  info.cpu_model = text_of("machdep.cpu.brand_string");
  info.hypervisor = number_of({"kern.hv_vmm_present"}) != 0 ? "unknown" : "";
  // Level 0 are the fastest cores; Intel's have no levels.
  info.l1d_bytes = number_of({"hw.perflevel0.l1dcachesize", "hw.l1dcachesize"});
  info.l2_bytes = number_of({"hw.perflevel0.l2cachesize", "hw.l2cachesize"});
  info.l3_bytes = number_of({"hw.perflevel0.l3cachesize", "hw.l3cachesize"});
  info.memory_bytes = number_of({"hw.memsize"});
}

std::int64_t available_memory_bytes() {
  std::int64_t bytes = system_info().memory_bytes;
  vm_statistics64_data_t pages{};
  mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
  const mach_port_t host = mach_host_self();
  if (host_statistics64(host, HOST_VM_INFO64, reinterpret_cast<host_info64_t>(&pages), &count) ==
      KERN_SUCCESS) {
    const std::int64_t unused = std::int64_t{pages.free_count} + pages.inactive_count;
    bytes = std::min(bytes, unused * static_cast<std::int64_t>(vm_page_size));
  }
  mach_port_deallocate(mach_task_self(), host);
  return std::max<std::int64_t>(bytes, 1 << 20);
}

void discard_pages(void* first, std::size_t bytes) {
  // MADV_DONTNEED would keep what is in them.
  const int flags = MAP_PRIVATE | MAP_ANON | MAP_FIXED;
  if (mmap(first, bytes, PROT_READ | PROT_WRITE, flags, -1, 0) == MAP_FAILED) {
    std::memset(first, 0, bytes);
  }
}

std::vector<int> thread_affinity() { return {}; }
bool bind_thread(std::thread::native_handle_type, const std::vector<int>&) { return false; }
void set_thread_affinity(const std::vector<int>&) {}
int current_cpu() { return -1; }
double steal_time_s(int) { return 0.0; }

std::int64_t involuntary_switches() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);  // of all threads: it does not count them one by one
  return usage.ru_nivcsw;
}

}  // namespace alphaflops
