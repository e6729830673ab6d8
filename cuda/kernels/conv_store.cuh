// The sums of a warp's fragments to the output, by way of shared memory, so that it stores whole
// rows.
#pragma once

#include "conv_epilogue.cuh"
#include "conv_tile.cuh"

namespace alphaflops::cuda {

// Elements of a row of 8 `n` columns in a slab: eight more, so that four rows of pairs meet in no
// bank.
template <int n>
inline constexpr int slab_pitch = n * 8 + 8;

// From `row0` and `column0` of the group on, by one warp with a `slab` of its own: 16 `m` rows, 8
// `n` columns, 16 rows at a time.
template <class Stored, class Sum, int m, int n>
AF_DEVICE void store_warp(const ConvIgemmParams& p, int phase, int row0, int column0,
                          const Sum (&sums)[m][n][4], Sum* slab) {
  constexpr int width = 16 / static_cast<int>(sizeof(typename Arithmetic<Stored>::Output));
  constexpr int columns = n * 8, pitch = slab_pitch<n>;
  constexpr int lanes_a_row = columns / width, rows_a_pass = 32 / lanes_a_row;
  static_assert(32 % lanes_a_row == 0 && 16 % rows_a_pass == 0);
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int column = lane % lanes_a_row * width;
  Epilogue<Stored, width> epilogue;
  epilogue.start(p, column0 + column, static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z),
                 phase);
  AF_UNROLL
  for (int i = 0; i < m; ++i) {
    AF_UNROLL
    for (int j = 0; j < n; ++j) {
      AF_UNROLL
      for (int half = 0; half < 2; ++half) {
        Pack<Sum, 2> pair{{sums[i][j][2 * half], sums[i][j][2 * half + 1]}};
        store<Sum, 2>(slab + (lane / 4 + half * 8) * pitch + j * 8 + lane % 4 * 2, pair);
      }
    }
    __syncwarp();
    AF_UNROLL
    for (int pass = 0; pass < 16 / rows_a_pass; ++pass) {
      const int row = pass * rows_a_pass + lane / lanes_a_row;
      Sum run[width];
      AF_UNROLL
      for (int e = 0; e < width; e += 4) {
        const auto four = load<Sum, 4>(slab + row * pitch + column + e);
        AF_UNROLL
        for (int k = 0; k < 4; ++k) run[e + k] = four.element[k];
      }
      epilogue.store_row(p, row0 + i * 16 + row, run);
    }
    __syncwarp();
  }
}

// The same for all warps of a block; `shared` may hold tiles until all threads have come here.
template <class Stored, int warps_m, int warps_n, int shared_bytes, class Sum, int m, int n>
AF_DEVICE void store_fragments(const ConvIgemmParams& p, const BlockTile& block,
                               const Sum (&sums)[m][n][4], unsigned char* shared) {
  static_assert(warps_m * warps_n * 16 * slab_pitch<n> * 4 <= shared_bytes);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  __syncthreads();
  store_warp<Stored>(p, block.phase, block.row + warp / warps_n * m * 16,
                     block.column + warp % warps_n * n * 8, sums,
                     reinterpret_cast<Sum*>(shared) + warp * 16 * slab_pitch<n>);
}

}  // namespace alphaflops::cuda
