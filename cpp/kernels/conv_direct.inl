// Direct convolution on NHWC, one register tile at a time; tables.hpp says what a tile computes.
#pragma once

#include "tile.inl"

namespace alphaflops::kernels {
namespace {

template <int Pixels, int Vectors>
void conv_tile(const ConvTileArgs<Word, Acc>* a) {
  Tile<Pixels, Vectors> tile;
  if (a->accumulate) {
    tile.resume(a->output, a->output_pixel, a->last_lanes);
  } else {
    tile.start(a->bias, a->last_lanes);
  }
  for (std::int64_t row = 0; row < a->rows; ++row) {
    for (std::int64_t column = 0; column < a->columns; ++column) {
      hide(a);
      tile.accumulate(a->input + row * a->input_row + column * a->input_column, a->input_pixel,
                      a->weights + row * a->weight_row + column * a->weight_column, a->run);
    }
    hide(a);
  }
  tile.finish(a->output, a->output_pixel, a->last_lanes, a->low, a->high);
}

using ConvTile = void (*)(const ConvTileArgs<Word, Acc>*);

template <int Pixels, int Vectors>
constexpr ConvTile tile_or_null() {
  if constexpr (Pixels <= tallest(Vectors)) {
    return conv_tile<Pixels, Vectors>;
  } else {
    return nullptr;
  }
}

#define AF_TILES(V)       \
  {nullptr,               \
   tile_or_null<1, V>(),  \
   tile_or_null<2, V>(),  \
   tile_or_null<3, V>(),  \
   tile_or_null<4, V>(),  \
   tile_or_null<5, V>(),  \
   tile_or_null<6, V>(),  \
   tile_or_null<7, V>(),  \
   tile_or_null<8, V>(),  \
   tile_or_null<9, V>(),  \
   tile_or_null<10, V>(), \
   tile_or_null<11, V>(), \
   tile_or_null<12, V>(), \
   tile_or_null<13, V>(), \
   tile_or_null<14, V>()}

#define AF_CONV_DIRECT_TABLE                                                  \
  {                                                                           \
    AF_TILE_SIZES, { {}, AF_TILES(1), AF_TILES(2), AF_TILES(3), AF_TILES(4) } \
  }

}  // namespace
}  // namespace alphaflops::kernels
