// What barriers in shared memory, the copy engine and wgmma do (PTX ISA).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>

#include "emulate_matrix.hpp"
#include "tensor_map.hpp"

namespace emulate {

using half_tBits = Half;
using bf16_tBits = Bf16;
using Tf32Bits = float;
using Int8Bits = signed char;

inline std::uint64_t shared_offset(std::uint64_t address) { return block().offset_of(address); }

/// The same place in another block of the cluster.
inline std::uint64_t address_in(std::uint64_t address, int rank) {
  if (!block().lives(rank)) fail("a block of the cluster has ended, and is written to");
  return reinterpret_cast<std::uint64_t>(block().shared_of(rank)) + shared_offset(address);
}

// ---- products that are under way ----

inline std::map<const Thread*, Groups>& all_products() {
  static std::map<const Thread*, Groups> of_threads;
  return of_threads;
}
inline Groups& products() { return all_products()[&block().current()]; }

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

inline void barrier_arrive_after_copies(std::uint64_t address) {
  Thread& self = block().current();
  if (!self.copy_groups.empty()) fail("cp.async is waited for in two ways");
  ++self.arrivals_to_come;
  block().do_some_time([address, &self, copies = std::move(self.copies)] {
    for (const Copy& copy : copies) copy.perform();
    barrier_arrive(address, 0);
    --self.arrivals_to_come;
  });
  self.copies.clear();
}

inline void barrier_wait(std::uint64_t address, int parity) {
  const SharedBarrier& barrier = barrier_at(address);
  block().wait_until([&barrier, parity] { return (barrier.bytes_and_phase & 1) != parity; });
}

// ---- the copy engine ----

/// 128-byte swizzle: bits 7 to 9 of an address in shared memory are added to bits 4 to 6.
inline std::uint64_t swizzled(std::uint64_t offset) { return offset ^ ((offset >> 7 & 7) << 4); }

inline std::uint64_t bytes_of_box(const HostTensorMap& map) {
  return map.strides_bytes[0] * map.box[0] * map.box[1] * map.box[2] * map.box[3];
}

/// Calls f(address in shared memory, address in the tensor or null) for every element of a box.
template <class F>
void each_of_box(const HostTensorMap& map, std::uint64_t shared, const std::array<int, 4>& at,
                 const F& f) {
  if (shared % 1024 != 0) fail("a swizzled box that is not aligned to 1024 bytes");
  if (shared_offset(shared) + bytes_of_box(map) > block().shared_bytes()) {
    fail("a box beyond shared memory");
  }
  const std::uint64_t size = map.strides_bytes[0];
  std::array<std::uint32_t, 4> own{};
  for (std::uint64_t count = 0; own[3] < map.box[3]; ++count) {
    bool inside = true;
    std::uint64_t offset = 0;
    for (std::size_t i = 0; i < 4; ++i) {
      const std::int64_t index = std::int64_t{at[i]} + own[i];
      inside = inside && index >= 0 && static_cast<std::uint64_t>(index) < map.sizes[i];
      offset += static_cast<std::uint64_t>(index) * map.strides_bytes[i];
    }
    f(reinterpret_cast<std::byte*>(swizzled(shared + count * size)),
      inside ? map.base + offset : nullptr);
    for (std::size_t i = 0; i < 4 && ++own[i] == map.box[i] && i < 3; ++i) own[i] = 0;
  }
}

/// As the copy engine does: half to even, and not what is no number.
inline std::uint32_t rounded_to_tf32(std::uint32_t word) {
  if ((word & 0x7f800000u) == 0x7f800000u) return word;
  return (word + 0xfffu + (word >> 13 & 1u)) & 0xffffe000u;
}

inline void copy_box(std::uint64_t to, const void* map_bytes, const std::array<int, 4>& at,
                     std::uint64_t barrier) {
  HostTensorMap map;
  std::memcpy(&map, map_bytes, sizeof(map));
  const std::uint64_t size = map.strides_bytes[0], bytes = bytes_of_box(map);
  block().do_some_time([=] {
    each_of_box(map, to, at, [&](std::byte* place, const std::byte* from) {
      block().wrote_asynchronously(place);
      if (from == nullptr) {
        std::memset(place, 0, size);
        return;
      }
      std::memcpy(place, from, size);
      if (map.rounds) {
        std::uint32_t word;
        std::memcpy(&word, place, 4);
        word = rounded_to_tf32(word);
        std::memcpy(place, &word, 4);
      }
    });
    barrier_update(barrier_at(barrier), 0, -static_cast<int>(bytes));
  });
}

/// Done at once or at the wait that covers it, as a draw decides.
inline void store_box(const void* map_bytes, const std::array<int, 4>& at, std::uint64_t from) {
  HostTensorMap map;
  std::memcpy(&map, map_bytes, sizeof(map));
  each_of_box(map, from, at,
              [](const std::byte* place, const std::byte*) { block().require_published(place); });
  const auto perform = [map, at, from] {
    each_of_box(map, from, at, [&](const std::byte* place, std::byte* to) {
      if (to != nullptr) std::memcpy(to, place, map.strides_bytes[0]);
    });
  };
  if (block().coin()) {
    perform();
  } else {
    block().current().stores.open.emplace_back(perform);
  }
}
inline void stores_commit() { block().current().stores.commit(); }
inline void stores_wait(int pending) { block().current().stores.wait(pending); }

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
    block().require_published(block().shared() + swizzled(offset));
    std::memcpy(reinterpret_cast<std::byte*>(elements.data()) + piece * 16,
                block().shared() + swizzled(offset), 16);
  }
  return elements;
}

template <class Element, class Sum, int count>
void multiply_tiles_64(Sum (&d)[count], std::uint64_t a, std::uint64_t b, bool adds) {
  const int thread = block().linear() % 128;
  if (!adds) std::fill(d, d + count, Sum{0});
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

inline void products_commit() { products().commit(); }

inline void products_wait(int pending) {
  products().wait(pending);
  warpgroup_collective(0, [](const int*, int) { return 0; });
}

}  // namespace emulate
