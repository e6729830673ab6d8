// Runs device code on the CPU: block after block, each thread a fiber.
//
// Included before anything else (-include), it stands in for the CUDA runtime, so that the very
// bodies of cuda/kernels run here. It is strict, so that mistakes show:
//   - threads run in a drawn order, each until it waits: a missing barrier gives wrong numbers;
//   - dynamic shared memory holds NaN bytes when a block starts, and has a guard zone behind it;
//   - cp.async copies either at once or at the wait that covers it, as a draw decides;
//   - a barrier or a warp's collective that not all come to is an error, not a hang.
// Kernels take their shared memory by af_dynamic_shared(): static __shared__ arrays could be
// neither poisoned nor bounded, and do not compile here.
#pragma once

#define AF_EMULATED 1

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <utility>

#include "emulate_block.hpp"

#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) alignas(n)

using std::max;
using std::min;

struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline int2 make_int2(int x, int y) { return {x, y}; }
inline int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace emulate {

inline float half_to_float(std::uint16_t bits) {
  const float sign = (bits & 0x8000u) != 0 ? -1.0f : 1.0f;
  const int exponent = (bits >> 10) & 31;
  const int mantissa = bits & 1023;
  if (exponent == 31) return mantissa != 0 ? NAN : sign * INFINITY;
  return sign * (exponent == 0 ? std::ldexp(static_cast<float>(mantissa), -24)
                               : std::ldexp(static_cast<float>(mantissa + 1024), exponent - 25));
}

/// Rounds to nearest, ties to even.
inline std::uint16_t float_to_half(float x) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(x) ? 0x8000u : 0u);
  if (std::isnan(x)) return 0x7fff;
  const float size = std::fabs(x);
  if (size >= 65520.0f) return static_cast<std::uint16_t>(sign | 0x7c00u);
  if (size == 0.0f) return sign;
  int exponent = 0;
  std::frexp(size, &exponent);                    // size = f * 2^exponent, 0.5 <= f < 1
  const int unit = std::max(exponent - 11, -24);  // of the last place
  const auto places = static_cast<int>(std::nearbyint(std::ldexp(size, -unit)));
  // Subnormals have the biased exponent 0; a carry out of the mantissa raises it by itself.
  const int biased = (unit + 24) << 10;
  return static_cast<std::uint16_t>(sign | (biased + places));
}

/// %globaltimer.
inline long long now_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

/// What the lanes of `mask` do together: f(values by lane, own lane) in each.
template <class T, class F>
auto collective(unsigned mask, const T& value, F&& f) {
  return block().meet(32, mask, value, std::forward<F>(f));
}

/// The same for the 128 threads of a warpgroup.
template <class T, class F>
auto warpgroup_collective(const T& value, F&& f) {
  return block().meet(128, ~0u, value, std::forward<F>(f));
}

/// cp.async: `source_bytes` read, zeros up to `bytes`.
inline void copy_async(void* to, const void* from, int bytes, int source_bytes) {
  if (reinterpret_cast<std::uintptr_t>(to) % static_cast<unsigned>(bytes) != 0 ||
      (source_bytes > 0 &&
       reinterpret_cast<std::uintptr_t>(from) % static_cast<unsigned>(bytes) != 0)) {
    fail("cp.async of " + std::to_string(bytes) + " bytes on a misaligned address");
  }
  const auto* end = static_cast<const std::byte*>(to) + bytes;
  if (to < block().shared() || end > block().shared() + block().shared_bytes()) {
    fail("cp.async to outside of shared memory");
  }
  const Copy copy{to, from, static_cast<std::size_t>(bytes), static_cast<std::size_t>(source_bytes),
                  &block().current()};
  if (block().coin()) {
    copy.perform();
  } else {
    block().current().copies.push_back(copy);
  }
}

inline void copy_commit() {
  Thread& self = block().current();
  self.copy_groups.push_back(std::move(self.copies));
  self.copies.clear();
}

/// cp.async.wait_group: all but the last `pending` groups are done.
inline void copy_wait(int pending) {
  auto& groups = block().current().copy_groups;
  while (groups.size() > static_cast<std::size_t>(pending)) {
    for (const Copy& copy : groups.front()) copy.perform();
    groups.pop_front();
  }
}

/// Runs a kernel for a grid; what goes wrong in a thread is thrown here.
template <class Params>
void launch(void (*kernel)(Params), dim3 grid, dim3 size, std::size_t shared_bytes,
            const Params& params, unsigned cluster = 1) {
  gridDim = grid;
  blockDim = size;
  if (grid.x % cluster != 0) fail("a grid that is not of whole clusters");
  for (unsigned z = 0; z < grid.z; ++z) {
    for (unsigned y = 0; y < grid.y; ++y) {
      for (unsigned x = 0; x < grid.x; x += cluster) {
        blockIdx = {x, y, z};
        block().run(size, shared_bytes, [&] { kernel(params); }, cluster);
      }
    }
  }
}

}  // namespace emulate

inline void* af_dynamic_shared() { return emulate::block().shared(); }

inline void __syncthreads() {
  emulate::block().barrier(0, static_cast<int>(blockDim.x * blockDim.y * blockDim.z));
}
inline void __syncwarp(unsigned mask = 0xffffffffu) {
  emulate::collective(mask, 0, [](const int*, int) { return 0; });
}
inline void __threadfence() {}

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return emulate::collective(mask, value, [=](const T* values, int lane) {
    return values[lane / width * width + from % width];
  });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return emulate::collective(mask, value, [=](const T* values, int lane) {
    const int from = lane ^ bits;
    return values[from / width == lane / width ? from : lane];
  });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return emulate::collective(mask, value, [=](const T* values, int lane) {
    const int from = lane + static_cast<int>(by);
    return values[from / width == lane / width ? from : lane];
  });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return emulate::collective(mask, value, [=](const T* values, int lane) {
    const int from = lane % width - static_cast<int>(by);
    return values[from >= 0 ? lane - static_cast<int>(by) : lane];
  });
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return emulate::collective(mask, predicate, [=](const int* values, int) {
    unsigned bits = 0;
    for (int i = 0; i < 32; ++i) bits |= ((mask >> i) & 1u) != 0 && values[i] != 0 ? 1u << i : 0u;
    return bits;
  });
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) {
  return __ballot_sync(mask, predicate) == mask;
}

template <class T>
T __ldg(const T* from) {
  return *from;
}
template <class T>
T atomicAdd(T* at, T value) {
  return std::exchange(*at, *at + value);
}
template <class T>
T atomicMax(T* at, T value) {
  return std::exchange(*at, std::max(*at, value));
}
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float x, float y) { return x / y; }
inline unsigned __umulhi(unsigned a, unsigned b) {
  return static_cast<unsigned>((std::uint64_t{a} * b) >> 32);
}
