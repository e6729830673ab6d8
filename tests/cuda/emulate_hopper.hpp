// What barriers in shared memory, the copy engine and wgmma do (PTX ISA).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <vector>

#include "emulate_matrix.hpp"
#include "tensor_map.hpp"

namespace emulate {

using half_tBits = Half;
using bf16_tBits = Bf16;
using Tf32Bits = float;
using Int8Bits = signed char;

inline std::uint64_t shared_offset(std::uint64_t address) {
  return address - reinterpret_cast<std::uint64_t>(block().shared());
}

// ---- products that are under way ----

struct Products {
  std::vector<std::function<void()>> open;
  std::deque<std::vector<std::function<void()>>> groups;
};

inline std::map<const Thread*, Products>& all_products() {
  static std::map<const Thread*, Products> of_threads;
  return of_threads;
}
inline Products& products() { return all_products()[&block().current()]; }

// ---- barriers: eight bytes, as on the device ----

struct SharedBarrier {
  std::int16_t expected, pending;
  std::int32_t bytes_and_phase;  // bytes still to come, times two, plus the phase
};

inline SharedBarrier& barrier_at(std::uint64_t address) {
  if (address % 8 != 0) fail("an mbarrier that is not aligned to 8 bytes");
  return *reinterpret_cast<SharedBarrier*>(address);
}

inline void barrier_start(std::uint64_t address, int count) {
  all_products().clear();  // of a block that failed; a kernel starts its barriers first
  barrier_at(address) = {static_cast<std::int16_t>(count), static_cast<std::int16_t>(count), 0};
}

inline void barrier_update(SharedBarrier& barrier, int arrivals, int bytes) {
  barrier.pending = static_cast<std::int16_t>(barrier.pending - arrivals);
  if (barrier.pending < 0) fail("more arrivals at an mbarrier than it was made for");
  barrier.bytes_and_phase += 2 * bytes;
  if (barrier.pending == 0 && barrier.bytes_and_phase / 2 == 0) {
    barrier.pending = barrier.expected;
    barrier.bytes_and_phase ^= 1;
  }
}

inline void barrier_arrive(std::uint64_t address, int bytes) {
  barrier_update(barrier_at(address), 1, bytes);
}

inline void barrier_wait(std::uint64_t address, int parity) {
  const SharedBarrier& barrier = barrier_at(address);
  block().wait_until([&barrier, parity] { return (barrier.bytes_and_phase & 1) != parity; });
}

// ---- the copy engine ----

/// 128-byte swizzle: bits 7 to 9 of an address in shared memory are added to bits 4 to 6.
inline std::uint64_t swizzled(std::uint64_t offset) { return offset ^ ((offset >> 7 & 7) << 4); }

inline void copy_box(std::uint64_t to, const void* map_bytes, std::array<int, 3> at,
                     std::uint64_t barrier) {
  HostTensorMap map;
  std::memcpy(&map, map_bytes, sizeof(map));
  if (to % 1024 != 0) fail("a swizzled box that is not aligned to 1024 bytes");
  const std::uint64_t start = shared_offset(to), size = map.strides_bytes[0];
  std::uint64_t count = 0;
  for (std::uint32_t z = 0; z < map.box[2]; ++z) {
    for (std::uint32_t y = 0; y < map.box[1]; ++y) {
      for (std::uint32_t x = 0; x < map.box[0]; ++x, ++count) {
        const std::array<std::int64_t, 3> index{std::int64_t{at[0]} + x, std::int64_t{at[1]} + y,
                                                std::int64_t{at[2]} + z};
        std::byte* place = block().shared() + swizzled(start + count * size);
        if (place + size > block().shared() + block().shared_bytes()) {
          fail("a box beyond shared memory");
        }
        bool inside = true;
        std::uint64_t offset = 0;
        for (std::size_t i = 0; i < 3; ++i) {
          inside = inside && index[i] >= 0 && static_cast<std::uint64_t>(index[i]) < map.sizes[i];
          offset += static_cast<std::uint64_t>(index[i]) * map.strides_bytes[i];
        }
        if (inside) {
          std::memcpy(place, map.base + offset, size);
        } else {
          std::memset(place, 0, size);
        }
      }
    }
  }
  barrier_update(barrier_at(barrier), 0, -static_cast<int>(count * size));
}

// ---- wgmma: done at once or at the wait that covers it, as a draw decides ----

/// 32 bytes of depth of a row of the tile with that descriptor, as the matrix units find them.
template <class Element>
std::array<Element, 32 / sizeof(Element)> tile_row(std::uint64_t descriptor, int row) {
  if (descriptor >> 62 != 1) fail("a tile descriptor without 128-byte swizzle");
  const std::uint64_t start = (descriptor & 0x3fff) << 4, eight = (descriptor >> 32 & 0x3fff) << 4;
  std::array<Element, 32 / sizeof(Element)> elements;
  for (std::uint64_t piece = 0; piece < 2; ++piece) {  // 16 bytes stay together
    const std::uint64_t offset = start + static_cast<std::uint64_t>(row / 8) * eight +
                                 static_cast<std::uint64_t>(row % 8) * 128 + piece * 16;
    if (swizzled(offset) + 16 > block().shared_bytes()) fail("a tile beyond shared memory");
    std::memcpy(reinterpret_cast<std::byte*>(elements.data()) + piece * 16,
                block().shared() + swizzled(offset), 16);
  }
  return elements;
}

template <class Element, class Sum, int count>
void multiply_tiles_64(Sum (&d)[count], std::uint64_t a, std::uint64_t b) {
  const int thread = block().linear() % 128;
  const auto perform = [&d, a, b, thread] {
    const int row = thread / 32 * 16 + thread % 32 / 4;
    const auto above = tile_row<Element>(a, row), below = tile_row<Element>(a, row + 8);
    for (int pair = 0; pair < count / 2; ++pair) {
      const int column = pair / 2 * 8 + thread % 4 * 2 + pair % 2;
      const auto right = tile_row<Element>(b, column);
      Sum& upper = d[pair / 2 * 4 + pair % 2];
      Sum& lower = d[pair / 2 * 4 + pair % 2 + 2];
      for (std::size_t k = 0; k < right.size(); ++k) {
        const Sum y = static_cast<Sum>(element(right[k]));
        upper += static_cast<Sum>(element(above[k])) * y;
        lower += static_cast<Sum>(element(below[k])) * y;
      }
    }
  };
  // All or none of a warpgroup: it is one instruction.
  const bool now = warpgroup_collective(block().coin(), [](const bool* c, int) { return c[0]; });
  if (now) {
    perform();
  } else {
    products().open.emplace_back(perform);
  }
}

inline void products_commit() {
  products().groups.push_back(std::move(products().open));
  products().open.clear();
}

inline void products_wait(int pending) {
  auto& groups = products().groups;
  while (groups.size() > static_cast<std::size_t>(pending)) {
    for (const auto& perform : groups.front()) perform();
    groups.pop_front();
  }
  warpgroup_collective(0, [](const int*, int) { return 0; });
}

}  // namespace emulate
