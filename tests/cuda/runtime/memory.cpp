// Device memory is the host's, between pages that trap.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "state.hpp"

namespace emulate::runtime {

namespace {

constexpr std::size_t guard_bytes = 256;  // at least so many behind a block, before the page's end
constexpr int poison = 0xff;              // a NaN in every float format
// Behind a block: another NaN, so that a result that is one shows there.
std::byte guard(std::size_t i) { return i % 2 == 0 ? std::byte{0xfe} : std::byte{0xff}; }

std::size_t page() { return static_cast<std::size_t>(sysconf(_SC_PAGESIZE)); }

std::byte* at(std::uintptr_t address) { return reinterpret_cast<std::byte*>(address); }

std::size_t taken() {
  std::size_t bytes = 0;
  for (const auto& [address, block] : state().memory) {
    if (!block.is_host && block.device == current_device()) bytes += block.mapped_bytes;
  }
  return bytes;
}

cudaError_t take(void** address, std::size_t bytes, bool is_host) {
  const std::size_t inner = (bytes + guard_bytes + page() - 1) / page() * page();
  if (!is_host && inner > memory_bytes() - std::min(taken(), memory_bytes())) {
    return cudaErrorMemoryAllocation;
  }
  void* all = mmap(nullptr, inner + 2 * page(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (all == MAP_FAILED) return cudaErrorMemoryAllocation;
  std::byte* begin = static_cast<std::byte*>(all) + page();
  mprotect(begin, inner, PROT_READ | PROT_WRITE);
  std::memset(begin, poison, bytes);
  for (std::size_t i = bytes; i < inner; ++i) begin[i] = guard(i);
  *address = begin;
  state().memory[reinterpret_cast<std::uintptr_t>(begin)] = {bytes, inner, is_host,
                                                             current_device()};
  return cudaSuccess;
}

cudaError_t give_back(void* address, bool is_host) {
  const auto found = state().memory.find(reinterpret_cast<std::uintptr_t>(address));
  if (found == state().memory.end() || found->second.is_host != is_host) {
    return cudaErrorInvalidValue;
  }
  run_all();  // the device may still use it
  munmap(static_cast<std::byte*>(address) - page(), found->second.mapped_bytes + 2 * page());
  state().memory.erase(found);
  return cudaSuccess;
}

/// Whether all of it lies within one block of the device.
bool is_device(const void* begin, std::size_t bytes) {
  const auto address = reinterpret_cast<std::uintptr_t>(begin);
  auto after = state().memory.upper_bound(address);
  if (after == state().memory.begin()) return false;
  const auto& [first, block] = *--after;
  return !block.is_host && address - first + bytes <= block.bytes;
}

}  // namespace

std::string overrun() {
  for (const auto& [address, block] : state().memory) {
    for (std::size_t i = block.bytes; i < block.mapped_bytes; ++i) {
      if (at(address)[i] == guard(i)) continue;
      return std::to_string(i) + " of " + std::to_string(block.bytes) + " bytes";
    }
  }
  return {};
}

}  // namespace emulate::runtime

using namespace emulate::runtime;

cudaError_t cudaMalloc(void** address, std::size_t bytes) {
  return call("cudaMalloc", Asks::context, [&] {
    if (captures() > 0) return cudaErrorStreamCaptureUnsupported;
    return take(address, bytes, false);
  });
}

cudaError_t cudaFree(void* address) {
  // Nothing to do for a null pointer: whether it tells of an earlier fault, the manual leaves open.
  if (address == nullptr) return call("cudaFree", Asks::driver, [] { return cudaSuccess; });
  return call("cudaFree", Asks::context, [&] { return give_back(address, false); });
}

cudaError_t cudaHostAlloc(void** address, std::size_t bytes, unsigned flags) {
  return call("cudaHostAlloc", Asks::context, [&] {
    if (captures() > 0) return cudaErrorStreamCaptureUnsupported;
    if (flags != cudaHostAllocMapped) return cudaErrorInvalidValue;  // no other is asked for
    return take(address, bytes, true);
  });
}

cudaError_t cudaHostGetDevicePointer(void** seen, void* address, unsigned flags) {
  return call("cudaHostGetDevicePointer", Asks::context, [&] {
    const auto found = state().memory.find(reinterpret_cast<std::uintptr_t>(address));
    if (flags != 0 || found == state().memory.end() || !found->second.is_host) {
      return cudaErrorInvalidValue;
    }
    *seen = address;
    return cudaSuccess;
  });
}

cudaError_t cudaFreeHost(void* address) {
  if (address == nullptr) return cudaSuccess;
  return call("cudaFreeHost", Asks::context, [&] { return give_back(address, true); });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call("cudaMemGetInfo", Asks::context, [&] {
    *total = memory_bytes();
    *free = *total - std::min(*total, taken());
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call("cudaMemcpy", Asks::context, [&] {
    if (captures() > 0) return cudaErrorStreamCaptureImplicit;
    const bool reads = kind != cudaMemcpyHostToDevice, writes = kind != cudaMemcpyDeviceToHost;
    if ((reads && !is_device(from, bytes)) || (writes && !is_device(to, bytes))) {
      return cudaErrorInvalidValue;
    }
    cudaStream_t stream = nullptr;
    cudaError_t code = cudaSuccess;
    if (kind == cudaMemcpyDeviceToHost) {
      code = cudaStreamSynchronize(stream);
      if (code == cudaSuccess) std::memcpy(to, from, bytes);
    } else if (kind == cudaMemcpyHostToDevice) {
      // Has left the host's memory, and may not have arrived.
      const auto* begin = static_cast<const std::byte*>(from);
      code = enqueue(stream, [to, bytes_ = std::vector<std::byte>(begin, begin + bytes)] {
        std::memcpy(to, bytes_.data(), bytes_.size());
      });
    } else {
      code = enqueue(stream, [=] { std::memmove(to, from, bytes); });
    }
    return code;
  });
}
