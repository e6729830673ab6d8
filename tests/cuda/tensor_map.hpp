// A tensor map as the emulation has it, in the 128 bytes where the driver would encode one.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "plan/launch.hpp"

namespace emulate {

struct HostTensorMap {
  std::byte* base;
  std::array<std::uint64_t, 4> sizes, strides_bytes;  // strides_bytes[0]: of an element
  std::array<std::uint32_t, 4> box;
  bool rounds;  // fp32 to tf32, on the way to shared memory
};
static_assert(sizeof(HostTensorMap) <= 128);

/// Holds the map to what the driver asks of one.
inline HostTensorMap encode(const alphaflops::cuda::TensorMap& map, std::byte* base) {
  if (map.offset % 64 != 0) fail("a tensor map that is not aligned to 64 bytes");
  if (reinterpret_cast<std::uintptr_t>(base) % 16 != 0) fail("a tensor map of unaligned memory");
  if (map.im2col || map.swizzle != alphaflops::cuda::Swizzle::bytes_128 || map.rank > 4) {
    fail("a tensor map that the emulation does not know");
  }
  HostTensorMap host{base, {1, 1, 1, 1}, {}, {1, 1, 1, 1}, map.dtype == alphaflops::DType::tf32};
  host.strides_bytes[0] = static_cast<std::uint64_t>(size_of(map.dtype));
  for (std::size_t i = 0; i < map.rank; ++i) {
    host.sizes[i] = map.sizes[i];
    host.box[i] = map.box[i];
    if (map.sizes[i] == 0 || map.box[i] == 0 || map.box[i] > 256) fail("a tensor map's size");
    if (map.sizes[i] > std::uint64_t{1} << 32) fail("a tensor map of more than 2^32 elements");
    if (i == 0) continue;
    host.strides_bytes[i] = map.strides_bytes[i - 1];
    if (host.strides_bytes[i] % 16 != 0) fail("a tensor map's stride that 16 does not divide");
    if (host.strides_bytes[i] >= std::uint64_t{1} << 40) fail("a tensor map's stride of 2^40");
  }
  if (host.box[0] * host.strides_bytes[0] % 16 != 0) fail("a box whose rows 16 does not divide");
  if (host.box[0] * host.strides_bytes[0] > 128) fail("a swizzled box of more than 128 bytes");
  return host;
}

}  // namespace emulate
