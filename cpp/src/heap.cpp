#include "alphaflops/heap.hpp"

#include <cstdint>
#include <cstdlib>

#ifdef __GLIBC__
#include <malloc.h>
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace alphaflops {
namespace {

#ifdef __GLIBC__

constexpr std::size_t largest_bytes = std::size_t{31} << 20;  // larger ones may be mapped apart

std::uintptr_t address_of(const void* block) { return reinterpret_cast<std::uintptr_t>(block); }

/// Where the free end of the main arena's heap begins.
std::uintptr_t free_end() {
#if __GLIBC_PREREQ(2, 33)
  const auto free_bytes = static_cast<std::uintptr_t>(mallinfo2().keepcost);
#else
  const auto free_bytes = static_cast<std::uintptr_t>(mallinfo().keepcost);
#endif
  return address_of(sbrk(0)) - free_bytes;
}

/// Give the whole pages of a block back to the system. It stays allocated.
void discard_pages(void* block, std::size_t bytes) {
  const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t first = (address_of(block) + page - 1) / page * page;
  const std::uintptr_t last = (address_of(block) + bytes) / page * page;
  if (first < last) madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
}

#endif

}  // namespace

HeapFilling::~HeapFilling() {
  for (void* block : blocks_) std::free(block);
}

void HeapFilling::fill([[maybe_unused]] std::size_t least_bytes) {
#ifdef __GLIBC__
  const std::uintptr_t end = free_end();
  for (std::size_t size = largest_bytes; size >= least_bytes; size -= size / 4) {
    for (;;) {
      void* block = std::malloc(size);
      if (block == nullptr) break;
      if (address_of(block) >= end) {  // no hole is as large
        std::free(block);
        break;
      }
      discard_pages(block, size);
      blocks_.push_back(block);
      bytes_ += size;
    }
  }
#endif
}

}  // namespace alphaflops
