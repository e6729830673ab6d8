// The register tile that direct and matrix convolutions share: Pixels x Vectors accumulators.
//
// acc[p][v] += x[p][k] * w[k][v], k innermost, where a product of words is the sum of the products
// of the channels in them. It needs Pixels * Vectors + Vectors + 1 registers. A
// multiply-add that broadcasts its memory operand would need one fewer and a load for each, which
// Intel's processors, with two loads and two multiply-adds a cycle, pay with a fifth of their peak.
#pragma once

#include "hide.inl"

namespace alphaflops::kernels {
namespace {

template <int Pixels, int Vectors>
struct Tile {
  Vec acc[Pixels][Vectors];

  AF_INLINE void start(const Acc* bias, std::int64_t last_lanes) {
    Vec b[Vectors];
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) {
      if (bias == nullptr) {
        b[v] = splat(Acc{0});
      } else {
        b[v] = v + 1 < Vectors ? load(bias + v * kLanes) : load_part(bias + v * kLanes, last_lanes);
      }
    }
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) acc[p][v] = b[v];
    }
  }

  AF_INLINE void resume(const Acc* output, std::int64_t pixel, std::int64_t last_lanes) {
    hide(output);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v + 1 < Vectors; ++v) acc[p][v] = load(output + v * kLanes);
      acc[p][Vectors - 1] = load_part(output + (Vectors - 1) * kLanes, last_lanes);
      output += pixel;
    }
  }

  AF_INLINE void accumulate(const Word* x, std::int64_t pixel, const Word* w, std::int64_t run) {
    constexpr int kHalf = 7;
    const Word* upper = Pixels > kHalf ? x + kHalf * pixel : x;
    hide(upper);
    for (std::int64_t k = 0; k < run; ++k) {
      Operand weight[Vectors];
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) weight[v] = load_operand(w + v * kLanes);
#pragma GCC unroll 16
      for (int p = 0; p < Pixels; ++p) {
        const Word* from = p < kHalf ? x + p * pixel : upper + (p - kHalf) * pixel;
        const auto value = broadcast(from);
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) fma_into(acc[p][v], weight[v], value);
      }
      x += 1;
      if (Pixels > kHalf) upper += 1;
      w += Vectors * kLanes;
    }
  }

  // Clamping to +-infinity where there is no activation costs two instructions a vector and no
  // branch.
  AF_INLINE void finish(Acc* output, std::int64_t pixel, std::int64_t last_lanes, Acc low,
                        Acc high) {
    const Vec lo = splat(low);
    const Vec hi = splat(high);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) acc[p][v] = min(hi, max(lo, acc[p][v]));
    }
    // A masked store is slow on some processors, so full vectors take the plain one.
    const bool full = last_lanes == kLanes;
    hide(output);
#pragma GCC unroll 16
    for (int p = 0; p < Pixels; ++p) {
#pragma GCC unroll 4
      for (int v = 0; v + 1 < Vectors; ++v) store(output + v * kLanes, acc[p][v]);
      if (full) {
        store(output + (Vectors - 1) * kLanes, acc[p][Vectors - 1]);
      } else {
        store_part(output + (Vectors - 1) * kLanes, last_lanes, acc[p][Vectors - 1]);
      }
      output += pixel;
    }
  }
};

// Tile widths in vectors: the one that suits most shapes, and the widest that fits the registers.
constexpr int kPreferred = kRegisters == 16 && kLanes > 1 ? 2 : 4;
constexpr int kWidest = kRegisters == 16 && kLanes > 1 ? 3 : 4;

// Tallest tile at each width that leaves room for the weights and a broadcast.
constexpr int tallest(int vectors) {
  if (vectors > kWidest) return 0;
  if (kLanes == 1) return vectors == 4 ? 3 : vectors == 3 ? 3 : vectors == 2 ? 5 : 8;
  if (kRegisters == 16) return vectors == 1 ? 12 : vectors == 2 ? 6 : 4;
  // With more than 24 accumulators Clang, which likes to load ahead, would spill.
  if (kLanes == 4) return vectors == 4 ? 6 : vectors == 3 ? 8 : vectors == 2 ? 12 : 14;
  return vectors == 4 ? 6 : vectors == 3 ? 9 : 14;
}

#define AF_TILE_SIZES                                                         \
  {                                                                           \
    kLanes, kPreferred, { 0, tallest(1), tallest(2), tallest(3), tallest(4) } \
  }

}  // namespace
}  // namespace alphaflops::kernels
