#include "alphaflops/heap.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <limits>

#include "platform.hpp"

#if defined(__linux__) && defined(__GLIBC__)
#include <malloc.h>
#include <sys/syscall.h>
#include <unistd.h>
#define ALPHAFLOPS_HAS_GLIBC_HEAP 1
#endif

namespace alphaflops {

HeapFilling::~HeapFilling() {
  let_go();
  for (void* block : blocks_) std::free(block);
}

void HeapFilling::let_go() {
  for (void* block : taken_) std::free(block);
  taken_.clear();
}

#ifdef ALPHAFLOPS_HAS_GLIBC_HEAP

namespace {

std::uintptr_t address_of(const void* block) { return reinterpret_cast<std::uintptr_t>(block); }

/// The part of the heap that has been given out before, as far as the heap's owner says.
struct Used {
  std::uintptr_t begin = 0, end = 0;  // empty where the heap is not glibc's
  std::size_t free_bytes = 0;         // of it, or more
  std::size_t bytes_at_end = 0;       // free behind it

  bool holds(const void* block) const {
    return begin <= address_of(block) && address_of(block) < end;
  }
};

Used used_heap() {
#if __GLIBC_PREREQ(2, 33)
  const auto info = mallinfo2();
  const auto bytes = [](std::size_t value) { return value; };
#else
  const auto info = mallinfo();
  const auto bytes = [](int value) { return std::size_t{static_cast<unsigned>(value)}; };
#endif
  // Other threads have heaps of their own, and so has a malloc that was put before glibc's.
  const std::size_t at_end = bytes(info.keepcost);
  if (syscall(SYS_gettid) != getpid() || at_end == 0 || bytes(info.fordblks) < at_end) return {};
  const std::uintptr_t end = address_of(sbrk(0));
  return {.begin = end - bytes(info.arena),
          .end = end - at_end,
          .free_bytes = bytes(info.fordblks) - at_end,
          .bytes_at_end = at_end};
}

/// Give the whole pages of a block back to the system. It stays allocated.
void discard_whole_pages(void* block, std::size_t bytes) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = (address_of(block) + page - 1) / page * page;
  const std::uintptr_t last = (address_of(block) + bytes) / page * page;
  if (first < last) discard_pages(reinterpret_cast<void*>(first), last - first);
}

}  // namespace

std::size_t HeapFilling::fill(std::size_t least_bytes) {
  const std::size_t least = std::max(least_bytes, std::size_t{4096});
  const Used used = used_heap();
  std::size_t filled = 0;
  for (std::size_t size = largest_bytes; size >= least;) {
    while (filled + size <= used.free_bytes) {
      void* block = std::malloc(size);
      if (!used.holds(block)) {  // no hole is as large
        std::free(block);
        break;
      }
      discard_whole_pages(block, size);
      blocks_.push_back(block);
      filled += size;
    }
    if (size == least) break;
    size = std::max(size - size / 4, least);
  }
  bytes_ += filled;
  return filled;
}

void HeapFilling::hold(std::size_t bytes) {
  const Used used = used_heap();
  const Used whole{.begin = used.begin,
                   .end = used.end + used.bytes_at_end,
                   .free_bytes = used.free_bytes + used.bytes_at_end};
  for (std::size_t left = whole.free_bytes / std::max(bytes, std::size_t{1}); left > 0; --left) {
    void* block = std::malloc(bytes);
    if (!whole.holds(block)) {  // it is the system's
      std::free(block);
      break;
    }
    taken_.push_back(block);
  }
}

void keep_freed_memory(bool keep) {
  constexpr int largest = 32 << 20;  // what its own adjustment comes to, and twice as much
  mallopt(M_MMAP_THRESHOLD, largest);
  mallopt(M_TRIM_THRESHOLD, keep ? std::numeric_limits<int>::max() : 2 * largest);
}

#else

std::size_t HeapFilling::fill(std::size_t) { return 0; }

void HeapFilling::hold(std::size_t) {}

void keep_freed_memory(bool) {}

#endif

}  // namespace alphaflops
