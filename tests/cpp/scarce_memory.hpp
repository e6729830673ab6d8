// While it lives, the process gets so many bytes and no more: new threads find no stack.
#pragma once

#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define CHECK_CAN_LIMIT_MEMORY 1
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <fstream>

namespace check {

class ScarceMemory {
 public:
  explicit ScarceMemory(std::int64_t bytes) : bytes_(static_cast<std::size_t>(bytes)) {
    std::int64_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    getrlimit(RLIMIT_AS, &before_);
    rlimit scarce = before_;
    scarce.rlim_cur = static_cast<rlim_t>(pages * sysconf(_SC_PAGESIZE) + bytes);
    setrlimit(RLIMIT_AS, &scarce);
  }
  ~ScarceMemory() { setrlimit(RLIMIT_AS, &before_); }
  /// An emulator of a processor may give more all the same.
  bool holds() const {
    void* more = mmap(nullptr, 2 * bytes_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (more != MAP_FAILED) munmap(more, 2 * bytes_);
    return more == MAP_FAILED;
  }
  ScarceMemory(const ScarceMemory&) = delete;
  ScarceMemory& operator=(const ScarceMemory&) = delete;

 private:
  std::size_t bytes_;
  rlimit before_{};
};

}  // namespace check
#endif
