// A tensor map as the emulation has it, in the 128 bytes where the driver would encode one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "plan/launch.hpp"

namespace emulate {

struct HostTensorMap {
  const std::byte* base;
  std::array<std::uint64_t, 3> sizes, strides_bytes;  // strides_bytes[0]: of an element
  std::array<std::uint32_t, 3> box;
};
static_assert(sizeof(HostTensorMap) <= 128);

/// Holds the map to what the driver asks of one.
inline HostTensorMap encode(const alphaflops::cuda::TensorMap& map, const std::byte* base) {
  if (map.offset % 64 != 0) fail("a tensor map that is not aligned to 64 bytes");
  if (reinterpret_cast<std::uintptr_t>(base) % 16 != 0) fail("a tensor map of unaligned memory");
  if (map.im2col || map.swizzle != alphaflops::cuda::Swizzle::bytes_128 || map.rank > 3) {
    fail("a tensor map that the emulation does not know");
  }
  HostTensorMap host{base, {1, 1, 1}, {}, {1, 1, 1}};
  host.strides_bytes[0] = static_cast<std::uint64_t>(size_of(map.dtype));
  for (std::size_t i = 0; i < map.rank; ++i) {
    host.sizes[i] = map.sizes[i];
    host.box[i] = map.box[i];
    if (map.sizes[i] == 0 || map.box[i] == 0 || map.box[i] > 256) fail("a tensor map's size");
    if (i == 0) continue;
    host.strides_bytes[i] = map.strides_bytes[i - 1];
    if (host.strides_bytes[i] % 16 != 0) fail("a tensor map's stride that 16 does not divide");
  }
  if (host.box[0] * host.strides_bytes[0] > 128) fail("a swizzled box of more than 128 bytes");
  return host;
}

}  // namespace emulate
