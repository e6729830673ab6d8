// Pieces of 16 bytes of fp32 operands, turned for ThreadTile on their way to shared memory.
#pragma once

#include "conv_gather.cuh"
#include "thread_tile.cuh"

namespace alphaflops::cuda {

// Turns the tiles of ConvLoader on their way to shared memory.
template <int tile_rows, int tile_columns, int tile_depth, Access access>
struct TurningLoader : ConvLoader<float, tile_rows, tile_columns, tile_depth,
                                  tile_rows * tile_columns / 64, access> {
  using Base =
      ConvLoader<float, tile_rows, tile_columns, tile_depth, tile_rows * tile_columns / 64, access>;
  using Base::Base;
  static_assert(tile_rows % 64 == 0 && tile_columns % 64 == 0 && tile_depth == 8);

  template <int count>
  AF_DEVICE void put_turned(float* to, int tile_width, const uint4 (&values)[count]) const {
    AF_UNROLL
    for (int i = 0; i < count; ++i) {
      const auto four = bit_cast<Pack<float, 4>>(values[i]);
      const int row = turned_row(this->first + i * this->rows_a_pass, this->piece);
      AF_UNROLL
      for (int e = 0; e < 4; ++e) to[(this->piece * 4 + e) * tile_width + row] = four.element[e];
    }
  }

  AF_DEVICE void put(unsigned char* stage) const {
    put_turned(reinterpret_cast<float*>(stage), tile_rows, this->a);
    put_turned(reinterpret_cast<float*>(stage + this->a_bytes), tile_columns, this->b);
  }
};

}  // namespace alphaflops::cuda
