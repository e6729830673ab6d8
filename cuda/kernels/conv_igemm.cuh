// Convolution as a matrix product on tensor cores (mma.sync): see conv_index.cuh for the product.
#pragma once

#include "conv_gather.cuh"
#include "conv_store.cuh"
#include "matrix_pipeline.cuh"
#include "matrix_tile.cuh"

namespace alphaflops::cuda {

template <class Element, int tile_rows, int tile_columns, int tile_depth, int warps_m, int warps_n,
          int stages, Access access>
AF_DEVICE void conv_igemm(const ConvIgemmParams& p) {
  using Stored = typename Matrix<Element>::Stored;
  using Loader =
      ConvLoader<Stored, tile_rows, tile_columns, tile_depth, warps_m * warps_n * 32, access>;
  constexpr int m = tile_rows / warps_m / 16, n = tile_columns / warps_n / 8;
  constexpr int phases = sizeof(Stored) == 1 ? 1 : most_phases;  // int8 has forward passes only
  const BlockTile block = block_tile<tile_rows, tile_columns, tile_depth, phases>(p);
  const int warp_index = static_cast<int>(threadIdx.x) / 32;
  auto* shared = static_cast<unsigned char*>(af_dynamic_shared());
  Loader loader(p, block);
  WarpTile<Element, m, n, Loader::row_bytes> warp;
  warp.start(warp_index / warps_n * m * 16, warp_index % warps_n * n * 8);
  multiply_tiles<stages>(loader, warp, shared, block);
  store_fragments<Stored, warps_m, warps_n, stages * Loader::stage_bytes>(p, block, warp.sums,
                                                                          shared);
}

}  // namespace alphaflops::cuda

// Two blocks of 128 x 128 share a multiprocessor where nothing has to wait in registers.
#define AF_BLOCKS(rows, columns, stages) ((rows) == 128 && (columns) == 128 && (stages) > 3 ? 2 : 1)
#define AF_CONV_IGEMM_KERNEL(type, rows, columns, depth, warps_m, warps_n, stages, access)      \
  AF_KERNEL void __launch_bounds__(warps_m* warps_n * 32, AF_BLOCKS(rows, columns, stages))     \
      conv_igemm_##type##_##rows##x##columns##x##depth##_s##stages##_##access(                  \
          AF_PARAM alphaflops::cuda::ConvIgemmParams p) {                                       \
    using namespace alphaflops::cuda;                                                           \
    conv_igemm<dtype::type, rows, columns, depth, warps_m, warps_n, stages, Access::access>(p); \
  }
