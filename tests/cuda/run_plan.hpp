// Runs a plan in the emulation: its kernels by name, on memory that is poisoned and guarded.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "emulate.hpp"
#include "kernels.hpp"
#include "plan/launch.hpp"
#include "tensor_map.hpp"

namespace emulate {

/// Bytes on an address as aligned as a device's, poisoned, with guard zones on both sides.
class Memory {
 public:
  explicit Memory(std::size_t bytes = 0)
      : bytes_(bytes),
        begin_(static_cast<std::byte*>(
                   std::aligned_alloc(256, (bytes + 2 * guard_bytes + 255) / 256 * 256)),
               &std::free) {
    std::memset(begin_.get(), poison, bytes + 2 * guard_bytes);
#if defined(AF_ASAN)
    __asan_poison_memory_region(begin_.get(), guard_bytes);
    __asan_poison_memory_region(begin_.get() + guard_bytes + bytes, guard_bytes);
#endif
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { expose(); }

  template <class T = std::byte>
  T* data() const {
    return reinterpret_cast<T*>(begin_.get() + guard_bytes);
  }
  std::size_t bytes() const { return bytes_; }
  void poison_all() { std::memset(data(), poison, bytes_); }

  bool guards_intact() {
    expose();
    for (std::size_t i = 0; i < guard_bytes; ++i) {
      if (begin_.get()[i] != std::byte{poison} ||
          begin_.get()[guard_bytes + bytes_ + i] != std::byte{poison}) {
        return false;
      }
    }
    return true;
  }

 private:
  void expose() {
#if defined(AF_ASAN)
    __asan_unpoison_memory_region(begin_.get(), bytes_ + 2 * guard_bytes);
#endif
  }

  std::size_t bytes_;
  std::unique_ptr<std::byte, decltype(&std::free)> begin_;
};

using Buffers = std::array<Memory*, alphaflops::cuda::buffer_count>;

inline Memory*& at(Buffers& buffers, alphaflops::cuda::Buffer buffer) {
  return buffers[static_cast<std::size_t>(buffer)];
}

/// Fills in the pointers and runs the launches in order.
inline void run_plan(const alphaflops::cuda::Plan& plan, const std::vector<Entry>& kernels,
                     const Buffers& buffers) {
  for (const auto& step : plan.launches) {
    const auto found = std::find_if(kernels.begin(), kernels.end(),
                                    [&](const Entry& e) { return e.symbol == step.symbol; });
    if (found == kernels.end()) fail("no kernel is called " + step.symbol);
    if (found->header != step.header) {
      fail(step.symbol + " is of " + found->header + ", the plan says " + step.header);
    }
    if (found->parameter_bytes != step.parameters.size()) {
      fail(step.symbol + " takes a parameter of " + std::to_string(found->parameter_bytes) +
           " bytes, the plan has " + std::to_string(step.parameters.size()));
    }
    std::vector<std::byte> parameters = step.parameters;
    for (const auto& pointer : step.pointers) {
      const Memory* memory = buffers[static_cast<std::size_t>(pointer.buffer)];
      if (memory == nullptr) {
        fail(step.symbol + " wants a buffer that the test has not: " + to_string(pointer.buffer));
      }
      const std::byte* address = memory->data() + pointer.byte_offset;
      std::memcpy(parameters.data() + pointer.offset, &address, sizeof(address));
    }
    for (const auto& map : step.tensor_maps) {
      const Memory* memory = buffers[static_cast<std::size_t>(map.buffer)];
      if (memory == nullptr) fail(step.symbol + " maps a buffer that the test has not");
      const HostTensorMap host = encode(map, memory->data() + map.byte_offset);
      std::memcpy(parameters.data() + map.offset, &host, sizeof(host));
    }
    try {
      found->run(step.grid, step.block, step.shared_bytes, parameters.data(), step.cluster[0]);
    } catch (const std::exception& error) {
      fail(step.symbol + ": " + error.what());
    }
  }
}

}  // namespace emulate
