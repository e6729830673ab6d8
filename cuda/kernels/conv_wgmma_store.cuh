// The sums of a warpgroup to the output: 64 rows, by way of slabs in shared memory that the copy
// engine stores from while the warpgroup goes on to its next tile.
//
// A slab is 64 rows of 128 bytes with the 128-byte swizzle (piece_offset<128>).
#pragma once

#include "accumulate.cuh"
#include "conv_tile.cuh"
#include "matrix_tile.cuh"
#include "ptx_cluster.cuh"

namespace alphaflops::cuda {

inline constexpr int slab_bytes = 64 * 128;

// Two neighbours of a row as they lie in memory.
AF_DEVICE unsigned narrow_pair(half_t, float first, float second) {
#if defined(AF_EMULATED)
  return from_float<half_t>(first).bits | unsigned{from_float<half_t>(second).bits} << 16;
#else
  unsigned pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#endif
}
AF_DEVICE unsigned narrow_pair(bf16_t, float first, float second) {
#if defined(AF_EMULATED)
  return from_float<bf16_t>(first).bits | unsigned{from_float<bf16_t>(second).bits} << 16;
#else
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
  return pair;
#endif
}

template <class Stored, int tile_columns, int slabs>
struct WgmmaStore {
  using A = Arithmetic<Stored>;
  using Sum = typename A::Sum;
  using Output = typename A::Output;
  static constexpr int sum_count = tile_columns / 2;

  const ConvWgmmaParams& p;
  int warpgroup, thread, lane;  // of those that multiply; in it; in a warp
  SharedAddress slab;           // the first of the warpgroup's
  int turn = 0;                 // slabs used so far

  AF_DEVICE WgmmaStore(const ConvWgmmaParams& params, int warpgroup_, int thread_,
                       SharedAddress slabs_of_block)
      : p(params), warpgroup(warpgroup_), thread(thread_), lane(thread_ % 32) {
    slab = slabs_of_block + static_cast<unsigned>(warpgroup * slabs * slab_bytes);
  }

  // `row` and `column`: of the warpgroup's first result.
  AF_DEVICE void store(int row, int column, const WalkedUnit& unit, const Sum (&sums)[sum_count]) {
    if (sizeof(Output) == sizeof(Sum) || p.product.is_partial != 0) {
      store_as<Sum>(row, column, unit, sums);
    } else {
      store_as<Output>(row, column, unit, sums);
    }
  }

  // The slabs may go once this is over.
  AF_DEVICE void end() const {
    if (thread == 0) stores_wait();
  }

 private:
  template <class Out>
  AF_DEVICE void store_as(int row, int column, const WalkedUnit& unit,
                          const Sum (&sums)[sum_count]) {
    constexpr int run = 128 / static_cast<int>(sizeof(Out));  // columns of a slab
    AF_UNROLL
    for (int first = 0; first < tile_columns; first += run) {
      if (row >= p.product.map.rows || column + first >= p.product.map.columns) break;
      Sum part[run / 2];
      AF_UNROLL
      for (int i = 0; i < run / 2; ++i) part[i] = sums[first / 2 + i];
      if (p.product.is_partial == 0) finish(column + first, unit.group, part);
      const SharedAddress to = slab + static_cast<unsigned>(turn % slabs * slab_bytes);
      if (thread == 0) stores_wait_read<slabs - 1>();
      sync_threads_of(1 + warpgroup, 128);
      const SharedAddress own = to + first_pair<Out>();
      AF_UNROLL
      for (int i = 0; i < run / 4; ++i) {
        put(Out{}, own, i / 2, i % 2, part[2 * i], part[2 * i + 1]);
      }
      publish_shared();
      sync_threads_of(1 + warpgroup, 128);
      if (thread == 0) {
        store_box(p.output_map, column + first, unit.group, row, unit.split, to);
        stores_commit();
      }
      ++turn;
    }
  }

  // Bias and activation. The branches are the same for all threads, so that what a layer has not
  // costs nothing.
  template <int count>
  AF_DEVICE void finish(int column, int group, Sum (&part)[count]) const {
    const ConvIgemmParams& product = p.product;
    if (product.bias != nullptr) {
      const int first = column + lane % 4 * 2;
      const auto* bias =
          static_cast<const Sum*>(product.bias) + group * product.map.columns + first;
      AF_UNROLL
      for (int j = 0; j < count / 4; ++j) {
        if (first + j * 8 >= product.map.columns) break;
        const auto pair = load<Sum, 2>(bias + j * 8);
        AF_UNROLL
        for (int i = 0; i < 4; ++i) part[j * 4 + i] += pair.element[i % 2];
      }
    }
    if (product.activation == activation_none) return;
    AF_UNROLL
    for (int i = 0; i < count; ++i) part[i] = activate(part[i], activation_relu);
    if (product.activation != activation_relu6) return;
    AF_UNROLL
    for (int i = 0; i < count; ++i) part[i] = activate(part[i], activation_relu6);
  }

  // Where the lane stores its first pair: columns 2 (lane % 4) + {0, 1} of row lane / 4 of its
  // warp. From one run of 8 columns to the next only the piece changes, and eight rows below
  // nothing but the row.
  template <class Out>
  AF_DEVICE unsigned first_pair() const {
    const int row = thread / 32 * 16 + lane / 4, pair = lane % 4;
    const int at = sizeof(Out) == 2 ? piece_offset<128>(row, 0) + pair * 4
                                    : piece_offset<128>(row, pair / 2) + pair % 2 * 8 + row % 2 * 4;
    return static_cast<unsigned>(at);
  }

  template <class Half>
  AF_DEVICE void put(Half, SharedAddress to, int j, int below, Sum first, Sum second) const {
    store_word((to ^ static_cast<unsigned>(j * 16)) + static_cast<unsigned>(below * 1024),
               narrow_pair(Half{}, first, second));
  }
  AF_DEVICE void put(float, SharedAddress to, int j, int below, float first, float second) const {
    put_words(to, j, below, bit_cast<unsigned>(first), bit_cast<unsigned>(second));
  }
  AF_DEVICE void put(int, SharedAddress to, int j, int below, int first, int second) const {
    put_words(to, j, below, static_cast<unsigned>(first), static_cast<unsigned>(second));
  }

  // Two words are half a piece. Odd rows store the second one first: rows two by two hold the same
  // pieces in the other order, and would meet in their banks.
  AF_DEVICE void put_words(SharedAddress to, int j, int below, unsigned first,
                           unsigned second) const {
    const bool odd = lane / 4 % 2 != 0;
    const SharedAddress at =
        (to ^ static_cast<unsigned>(j * 32)) + static_cast<unsigned>(below * 1024);
    store_word(at, odd ? second : first);
    store_word(at ^ 4u, odd ? first : second);
  }
};

}  // namespace alphaflops::cuda
