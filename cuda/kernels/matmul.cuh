// Products of pairs of matrices on tensor cores: see matmul_params.cuh.
#pragma once

#include "conv_gather.cuh"
#include "conv_wgrad.cuh"
#include "matmul_load.cuh"
#include "matmul_params.cuh"

namespace alphaflops::cuda {

enum class Form : int { straight, turned };

// The pair of a block and its tile. `product` has the addresses of the first pair, and gets those
// of the block's own.
template <class Stored, int tile_rows, int tile_columns, int tile_depth>
AF_DEVICE BlockTile matmul_tile(const MatmulParams& p, ConvIgemmParams& product) {
  unsigned tile = blockIdx.x;
  unsigned inner = divide_keep(tile, p.by_tiles);
  const long long outer = divide_keep(inner, p.by_inner);
  const auto first = [&](const MatrixStep& step) {
    return outer * step.outer + inner * step.inner;
  };
  product.input = static_cast<const Stored*>(product.input) + first(p.a);
  product.weights = static_cast<const Stored*>(product.weights) + first(p.b);
  product.output = static_cast<Stored*>(product.output) + first(p.c);
  const int row_tile = static_cast<int>(divide_keep(tile, product.by_column_tiles));
  return tile_of<tile_depth>(product, row_tile * tile_rows, static_cast<int>(tile) * tile_columns,
                             0);
}

// The fragments and sums of one warp from rows of A and turned rows of B.
template <class Element, int m, int n, int tile_depth, int row_bytes, int b_pitch>
struct HalfTurnedWarpTile {
  WarpTile<Element, m, n, row_bytes> rows;                       // loads A and has the sums
  TurnedWarpTile<Element, m, n, tile_depth, 0, b_pitch> turned;  // loads B

  AF_DEVICE void start(int first_row, int first_column) {
    rows.start(first_row, first_column);
    turned.start(first_row, first_column);
  }

  AF_DEVICE void add(SharedAddress a_tile, SharedAddress b_tile) {
    constexpr int step_depth = decltype(turned)::step_depth, size = decltype(turned)::size;
    AF_UNROLL
    for (int step = 0; step < tile_depth / step_depth; ++step) {
      AF_UNROLL
      for (int i = 0; i < m; ++i) rows.load_a(rows.a[0][i], i, step, a_tile);
      AF_UNROLL
      for (int j = 0; j < n / 2; ++j) {
        turned.load_b(rows.b[0][j],
                      b_tile + static_cast<unsigned>(turned.b_at + step * step_depth * b_pitch +
                                                     j * 16 * size));
      }
      rows.multiply_loaded(0);
    }
  }
};

template <class Element, int tile_rows, int tile_columns, int tile_depth, int warps_m, int warps_n,
          int stages, Access access, Form form>
AF_DEVICE void matmul(const MatmulParams& p) {
  using Stored = typename Matrix<Element>::Stored;
  constexpr int threads = warps_m * warps_n * 32;
  constexpr int m = tile_rows / warps_m / 16, n = tile_columns / warps_n / 8;
  ConvIgemmParams product = p.product;
  const BlockTile block = matmul_tile<Stored, tile_rows, tile_columns, tile_depth>(p, product);
  const int warp_index = static_cast<int>(threadIdx.x) / 32;
  const int first_row = warp_index / warps_n * m * 16, first_column = warp_index % warps_n * n * 8;
  auto* shared = static_cast<unsigned char*>(af_dynamic_shared());
  const auto run = [&]<class Loader>(Loader& loader, auto& warp, const auto& sums) {
    warp.start(first_row, first_column);
    multiply_tiles<stages>(loader, warp, shared, block);
    store_fragments<Stored, warps_m, warps_n, stages * Loader::stage_bytes>(product, block, sums,
                                                                            shared);
  };
  if constexpr (form == Form::straight) {
    ConvLoader<Stored, tile_rows, tile_columns, tile_depth, threads, access> loader(product, block);
    WarpTile<Element, m, n, decltype(loader)::row_bytes> warp;
    run(loader, warp, warp.sums);
  } else {
    constexpr int pad = sizeof(Stored) == 2 ? 16 : 32;  // as in conv_wgrad
    MatmulLoader<Stored, tile_rows, tile_columns, tile_depth, threads, pad, access> loader(product,
                                                                                           block);
    HalfTurnedWarpTile<Element, m, n, tile_depth, decltype(loader)::row_bytes,
                       decltype(loader)::b_pitch>
        warp;
    run(loader, warp, warp.rows.sums);
  }
}

}  // namespace alphaflops::cuda

#define AF_MATMUL_KERNEL(type, rows, columns, depth, warps_m, warps_n, stages, access, form) \
  AF_KERNEL void __launch_bounds__(warps_m* warps_n * 32, 1)                                 \
      matmul_##type##_##rows##x##columns##x##depth##_s##stages##_##access##_##form(          \
          AF_PARAM alphaflops::cuda::MatmulParams p) {                                       \
    using namespace alphaflops::cuda;                                                        \
    matmul<dtype::type, rows, columns, depth, warps_m, warps_n, stages, Access::access,      \
           Form::form>(p);                                                                   \
  }
