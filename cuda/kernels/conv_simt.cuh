// Convolution as a matrix product in true fp32, on the ordinary pipes: see conv_index.cuh.
#pragma once

#include "conv_simt_load.cuh"
#include "thread_tile.cuh"

namespace alphaflops::cuda {

template <int tile_rows, int tile_columns, int tile_depth, Access access>
AF_DEVICE void conv_simt(const ConvIgemmParams& p) {
  using Loader = TurningLoader<tile_rows, tile_columns, tile_depth, access>;
  const BlockTile block =
      block_tile<tile_rows, tile_columns, tile_depth, simt_phases(tile_rows, tile_columns)>(p);
  ThreadTile<tile_rows, tile_columns> tile;
  tile.start();
  Loader loader(p, block);
  multiply_in_threads<tile_depth, true>(loader, tile, block);
  tile.store_sums(p, block);
}

}  // namespace alphaflops::cuda

// Two blocks of 128 x 128 share a multiprocessor, where 128 registers a thread suffice.
#define AF_SIMT_BLOCKS(rows, columns) \
  ((rows) * (columns) == 128 * 128 && AF_ARCH >= 800 && AF_ARCH < 1000 ? 2 : 1)
#define AF_CONV_SIMT_KERNEL(rows, columns, depth, access)                                  \
  AF_KERNEL void __launch_bounds__((rows) * (columns) / 64, AF_SIMT_BLOCKS(rows, columns)) \
      conv_simt_fp32_##rows##x##columns##x##depth##_##access(                              \
          AF_PARAM alphaflops::cuda::ConvIgemmParams p) {                                  \
    using namespace alphaflops::cuda;                                                      \
    conv_simt<rows, columns, depth, Access::access>(p);                                    \
  }
AF_CONV_SIMT(AF_CONV_SIMT_KERNEL)
