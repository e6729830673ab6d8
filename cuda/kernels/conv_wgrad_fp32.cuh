// The gradient of a convolution's weights as a matrix product in true fp32: see conv_wgrad.cuh.
#pragma once

#include "conv_wgrad_load.cuh"
#include "thread_tile.cuh"

namespace alphaflops::cuda {

template <int tile_rows, int tile_columns, int tile_depth, Access access>
AF_DEVICE void conv_wgrad_simt(const ConvWgradParams& p) {
  using Loader = ConvWgradLoader<float, tile_rows, tile_columns, tile_depth,
                                 tile_rows * tile_columns / 64, 0, access>;
  const BlockTile block = block_tile<tile_rows, tile_columns, tile_depth>(p.product);
  ThreadTile<tile_rows, tile_columns> tile;
  tile.start();
  Loader loader(p, block);
  multiply_in_threads<tile_depth, false>(loader, tile, block);
  tile.store_sums(p.product, block);
}

}  // namespace alphaflops::cuda

#define AF_CONV_WGRAD_FP32_KERNEL(rows, columns, depth, access) \
  AF_KERNEL void __launch_bounds__((rows) * (columns) / 64, 1)  \
      conv_wgrad_fp32_##rows##x##columns##x##depth##_##access(  \
          AF_PARAM alphaflops::cuda::ConvWgradParams p) {       \
    using namespace alphaflops::cuda;                           \
    conv_wgrad_simt<rows, columns, depth, Access::access>(p);   \
  }
AF_CONV_WGRAD_FP32(AF_CONV_WGRAD_FP32_KERNEL)
