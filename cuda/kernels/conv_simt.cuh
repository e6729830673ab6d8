// Convolution as a matrix product in true fp32, on the ordinary pipes: see conv_index.cuh.
#pragma once

#include "conv_gather.cuh"
#include "matrix_pipeline.cuh"
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

template <int tile_rows, int tile_columns, int tile_depth, Access access>
AF_DEVICE void conv_simt(const ConvIgemmParams& p) {
  using Loader = TurningLoader<tile_rows, tile_columns, tile_depth, access>;
  const BlockTile block = block_tile<tile_rows, tile_columns>(p);
  ThreadTile<tile_rows, tile_columns> tile;
  tile.start();
  Loader loader(p, block);
  multiply_staged(loader, static_cast<unsigned char*>(af_dynamic_shared()), block,
                  [&](const unsigned char* stage) {
                    const auto* a = reinterpret_cast<const float*>(stage);
                    const auto* b = reinterpret_cast<const float*>(stage + Loader::a_bytes);
                    AF_UNROLL
                    for (int depth = 0; depth < tile_depth; ++depth) {
                      tile.add(a + depth * tile_rows, b + depth * tile_columns, depth / 4);
                    }
                  });
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
