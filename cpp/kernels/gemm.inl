// Matrix product against one packed panel, for 1x1 convolutions, linear layers and im2col.
//
// A panel is [depth][Vectors * lanes]. Pixels are cut into tiles of nearly equal height, so that no
// tile is left with too few accumulators to cover the latency of a multiply-add.
#pragma once

#include "tile.inl"

namespace alphaflops::kernels {
namespace {

// A panel that is read once comes from memory, and the hardware's prefetcher stops at page borders.
constexpr std::int64_t kAheadWords = 1024;

using Product = GemmArgs<Word, Acc>;
using Gemm = void (*)(const Product*);

template <int Vectors>
void gemm_vector(const Product& g) {
  constexpr int kUnroll = 4;
  constexpr int kStep = Vectors * kLanes;
  Vec acc[kUnroll][Vectors];
#pragma GCC unroll 4
  for (int u = 0; u < kUnroll; ++u) {
#pragma GCC unroll 4
    for (int v = 0; v < Vectors; ++v) acc[u][v] = splat(Acc{0});
  }
  const Word* a = g.a;
  const Word* w = g.panel;
  std::int64_t k = 0;
  for (; k + kUnroll <= g.depth; k += kUnroll) {
#pragma GCC unroll 16
    for (int i = 0; i < kUnroll * kStep; i += 16) prefetch(w + kAheadWords + i);
#pragma GCC unroll 4
    for (int u = 0; u < kUnroll; ++u) {
      const auto value = broadcast(a + u);
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        fma_into(acc[u][v], load_operand(w + u * kStep + v * kLanes), value);
      }
    }
    a += kUnroll;
    w += kUnroll * kStep;
  }
  Tile<1, Vectors> tile;
  if (g.accumulate) {
    tile.resume(g.output, g.output_pixel, g.last_lanes);
  } else {
    tile.start(g.bias, g.last_lanes);
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const Vec sum = add(add(acc[0][v], acc[1][v]), add(acc[2][v], acc[3][v]));
    tile.acc[0][v] = add(tile.acc[0][v], sum);
  }
  tile.accumulate(a, g.a_pixel, w, g.depth - k);
  tile.finish(g.output, g.output_pixel, g.last_lanes, g.low, g.high);
}

template <int Pixels, int Vectors>
void gemm_tiles(const Product& g, std::int64_t first, std::int64_t count) {
  const Word* a = g.a + first * g.a_pixel;
  Acc* y = g.output + first * g.output_pixel;
  for (std::int64_t i = 0; i < count; ++i) {
    Tile<Pixels, Vectors> tile;
    if (g.accumulate) {
      tile.resume(y, g.output_pixel, g.last_lanes);
    } else {
      tile.start(g.bias, g.last_lanes);
    }
    tile.accumulate(a, g.a_pixel, g.panel, g.depth);
    tile.finish(y, g.output_pixel, g.last_lanes, g.low, g.high);
    a += Pixels * g.a_pixel;
    y += Pixels * g.output_pixel;
  }
}

using Tiles = void (*)(const Product&, std::int64_t first, std::int64_t count);

template <int Pixels, int Vectors>
constexpr Tiles tiles_or_null() {
  if constexpr (Pixels <= tallest(Vectors)) {
    return gemm_tiles<Pixels, Vectors>;
  } else {
    return nullptr;
  }
}

template <int V>
void gemm_panel(const Product* args) {
  static constexpr Tiles kTiles[kMaxPixels + 1] = {nullptr,
                                                   tiles_or_null<1, V>(),
                                                   tiles_or_null<2, V>(),
                                                   tiles_or_null<3, V>(),
                                                   tiles_or_null<4, V>(),
                                                   tiles_or_null<5, V>(),
                                                   tiles_or_null<6, V>(),
                                                   tiles_or_null<7, V>(),
                                                   tiles_or_null<8, V>(),
                                                   tiles_or_null<9, V>(),
                                                   tiles_or_null<10, V>(),
                                                   tiles_or_null<11, V>(),
                                                   tiles_or_null<12, V>(),
                                                   tiles_or_null<13, V>(),
                                                   tiles_or_null<14, V>()};
  const Product g = *args;
  if (g.pixels == 1) {
    gemm_vector<V>(g);
    return;
  }
  std::int64_t height = tallest(V);
  // Pixels a multiple of 4 KiB apart share their cache sets: more than seven evict each other.
  if (height > 7 && g.a_pixel % 1024 == 0) height = 7;
  const std::int64_t tiles = (g.pixels + height - 1) / height;
  const std::int64_t low = g.pixels / tiles;
  const std::int64_t taller = g.pixels % tiles;
  if (taller != 0) kTiles[low + 1](g, 0, taller);
  kTiles[low](g, taller * (low + 1), tiles - taller);
}

template <int V>
constexpr Gemm panel_or_null() {
  if constexpr (V <= kPreferred) {
    return gemm_panel<V>;
  } else {
    return nullptr;
  }
}

#define AF_GEMM_TABLE                                                                         \
  {                                                                                           \
    AF_TILE_SIZES, {                                                                          \
      nullptr, panel_or_null<1>(), panel_or_null<2>(), panel_or_null<3>(), panel_or_null<4>() \
    }                                                                                         \
  }

}  // namespace
}  // namespace alphaflops::kernels
