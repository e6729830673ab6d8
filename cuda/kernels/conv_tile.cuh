// Which tile of the result a block of a matrix product makes.
#pragma once

#include "conv_igemm_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

// Its first row and column, which part of the depth, and which phase of the stride. There may be
// nothing left of the depth: a phase has fewer parts than the deepest.
struct BlockTile {
  int row, column, first_depth_tile, depth_tiles, phase, first_weight;
};

template <int tile_depth>
AF_DEVICE BlockTile tile_of(const ConvIgemmParams& p, int row, int column, int split, int phase = 0,
                            int first_weight = 0) {
  const int first = split * p.depth_tiles_a_split;
  const unsigned depth = static_cast<unsigned>(p.map.phases[phase].depth) + (tile_depth - 1);
  const int left = static_cast<int>(depth / tile_depth) - first;
  return {row,   column,      first, left < p.depth_tiles_a_split ? left : p.depth_tiles_a_split,
          phase, first_weight};
}

// The kernel does launches of so many phases at most.
template <int tile_rows, int tile_columns, int tile_depth, int phases = 1>
AF_DEVICE BlockTile block_tile(const ConvIgemmParams& p) {
  unsigned column_tile = blockIdx.x;
  unsigned row_tile = divide_keep(column_tile, p.by_column_tiles);
  const int split = static_cast<int>(blockIdx.z);
  const unsigned phase = phases > 1 ? divide_keep(row_tile, p.by_row_tiles) : 0;
  return tile_of<tile_depth>(p, static_cast<int>(row_tile) * tile_rows,
                             static_cast<int>(column_tile) * tile_columns, split,
                             static_cast<int>(phase), phases > 1 ? p.map.phases[phase].weight : 0);
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
