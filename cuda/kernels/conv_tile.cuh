// Which tile of the result a block of a matrix product makes.
#pragma once

#include "conv_igemm_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

// Its first row and column, and which part of the depth.
struct BlockTile {
  int row, column, first_depth_tile, depth_tiles;
};

template <int tile_rows, int tile_columns>
AF_DEVICE BlockTile block_tile(const ConvIgemmParams& p) {
  unsigned column_tile = blockIdx.x;
  const int row_tile = static_cast<int>(divide_keep(column_tile, p.by_column_tiles));
  const int first = static_cast<int>(blockIdx.z) * p.depth_tiles_a_split;
  const int left = p.depth_tiles - first;
  return {row_tile * tile_rows, static_cast<int>(column_tile) * tile_columns, first,
          left < p.depth_tiles_a_split ? left : p.depth_tiles_a_split};
}

// The first `left` elements of 16 bytes, zeros for the rest; all or none unless access is scalar.
template <Access access, class Stored>
AF_DEVICE uint4 piece_of(const Stored* from, int left) {
  if constexpr (access == Access::scalar) {
    Pack<Stored, 16 / sizeof(Stored)> pack = {};
    AF_UNROLL
    for (int e = 0; e < 16 / static_cast<int>(sizeof(Stored)); ++e) {
      if (e < left) pack.element[e] = from[e];
    }
    return bit_cast<uint4>(pack);
  } else {
    return left > 0 ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
  }
}

}  // namespace alphaflops::cuda
