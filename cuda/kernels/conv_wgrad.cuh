// The gradient of a convolution's weights as a matrix product on tensor cores. Its depth, the
// pixels, is split over blocks; conv_reduce.cuh adds the parts in order.
#pragma once

#include "conv_store.cuh"
#include "conv_wgrad_load.cuh"
#include "matrix_pipeline.cuh"

namespace alphaflops::cuda {

// The fragments and sums of one warp from tiles [depth][row]: 16 `m` rows, 8 `n` columns.
template <class Element, int m, int n, int tile_depth, int a_pitch, int b_pitch>
struct TurnedWarpTile {
  using Stored = typename Matrix<Element>::Stored;
  static constexpr int size = static_cast<int>(sizeof(Stored));
  static constexpr int step_depth = 32 / size;

  float sums[m][n][4];
  int a_at, b_at;  // of the lane, in bytes

  AF_DEVICE void start(int first_row, int first_column) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    AF_UNROLL
    for (int i = 0; i < m; ++i) {
      AF_UNROLL
      for (int j = 0; j < n; ++j) {
        AF_UNROLL
        for (int e = 0; e < 4; ++e) sums[i][j][e] = 0.0f;
      }
    }
    if constexpr (size == 2) {
      // ldmatrix: for A tiles 0 and 1 are rows 0-7 and 8-15 at depths 0-7, then at 8-15; for B
      // depths 0-7 and 8-15 of columns 0-7, then of 8-15.
      a_at = (lane % 8 + lane / 16 * 8) * a_pitch + (first_row + lane / 8 % 2 * 8) * size;
      b_at = (lane % 8 + lane / 8 % 2 * 8) * b_pitch + (first_column + lane / 16 * 8) * size;
    } else {
      a_at = lane % 4 * a_pitch + (first_row + lane / 4) * size;
      b_at = lane % 4 * b_pitch + (first_column + lane / 4) * size;
    }
  }

  AF_DEVICE void load_a(unsigned (&a)[4], SharedAddress at) const {
    if constexpr (size == 2) {
      load_matrices_transposed(a, at);
    } else {
      AF_UNROLL
      for (int e = 0; e < 4; ++e) {
        a[e] = round_tf32(
            load_word(at + static_cast<unsigned>(e % 2 * 8 * size + e / 2 * 4 * a_pitch)));
      }
    }
  }

  // Of two tiles of 8 columns.
  AF_DEVICE void load_b(unsigned (&b)[4], SharedAddress at) const {
    if constexpr (size == 2) {
      load_matrices_transposed(b, at);
    } else {
      AF_UNROLL
      for (int e = 0; e < 4; ++e) {
        b[e] = round_tf32(
            load_word(at + static_cast<unsigned>(e / 2 * 8 * size + e % 2 * 4 * b_pitch)));
      }
    }
  }

  AF_DEVICE void add(SharedAddress a_tile, SharedAddress b_tile) {
    AF_UNROLL
    for (int step = 0; step < tile_depth / step_depth; ++step) {
      unsigned a[m][4], b[n / 2][4];
      AF_UNROLL
      for (int i = 0; i < m; ++i) {
        load_a(a[i],
               a_tile + static_cast<unsigned>(a_at + step * step_depth * a_pitch + i * 16 * size));
      }
      AF_UNROLL
      for (int j = 0; j < n / 2; ++j) {
        load_b(b[j],
               b_tile + static_cast<unsigned>(b_at + step * step_depth * b_pitch + j * 16 * size));
      }
      AF_UNROLL
      for (int i = 0; i < m; ++i) {
        AF_UNROLL
        for (int j = 0; j < n; ++j) {
          const unsigned pair[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
          multiply(Element{}, sums[i][j], a[i], pair);
        }
      }
    }
  }
};

template <class Element, int tile_rows, int tile_columns, int tile_depth, int warps_m, int warps_n,
          int stages, Access access>
AF_DEVICE void conv_wgrad(const ConvWgradParams& p) {
  using Stored = typename Matrix<Element>::Stored;
  // Eight rows of 16 bytes, or four of eight words, must not meet in a bank.
  constexpr int pad = sizeof(Stored) == 2 ? 16 : 32;
  using Loader = ConvWgradLoader<Stored, tile_rows, tile_columns, tile_depth,
                                 warps_m * warps_n * 32, pad, access>;
  constexpr int m = tile_rows / warps_m / 16, n = tile_columns / warps_n / 8;
  const BlockTile block = block_tile<tile_rows, tile_columns, tile_depth>(p.product);
  const int warp_index = static_cast<int>(threadIdx.x) / 32;
  auto* shared = static_cast<unsigned char*>(af_dynamic_shared());
  Loader loader(p, block);
  TurnedWarpTile<Element, m, n, tile_depth, Loader::a_pitch, Loader::b_pitch> warp;
  warp.start(warp_index / warps_n * m * 16, warp_index % warps_n * n * 8);
  multiply_tiles<stages>(loader, warp, shared, block);
  store_fragments<Stored, warps_m, warps_n, stages * Loader::stage_bytes>(p.product, block,
                                                                          warp.sums, shared);
}

}  // namespace alphaflops::cuda

#define AF_CONV_WGRAD_KERNEL(type, rows, columns, depth, warps_m, warps_n, stages, access)      \
  AF_KERNEL void __launch_bounds__(warps_m* warps_n * 32, 1)                                    \
      conv_wgrad_##type##_##rows##x##columns##x##depth##_s##stages##_##access(                  \
          AF_PARAM alphaflops::cuda::ConvWgradParams p) {                                       \
    using namespace alphaflops::cuda;                                                           \
    conv_wgrad<dtype::type, rows, columns, depth, warps_m, warps_n, stages, Access::access>(p); \
  }
