// Products of pairs of matrices: tf32 on tensor cores, and true fp32 on the ordinary pipes.
#pragma once

#include "conv_simt_load.cuh"
#include "matmul.cuh"

namespace alphaflops::cuda {

// Turns A on its way to shared memory; B lies as it shall.
template <int tile_rows, int tile_columns, int tile_depth, Access access>
struct HalfTurningLoader : MatmulLoader<float, tile_rows, tile_columns, tile_depth,
                                        tile_rows * tile_columns / 64, 0, access> {
  using Base = MatmulLoader<float, tile_rows, tile_columns, tile_depth,
                            tile_rows * tile_columns / 64, 0, access>;
  using Base::Base;

  AF_DEVICE void put(unsigned char* stage) const {
    auto* to = reinterpret_cast<float*>(stage);
    AF_UNROLL
    for (int i = 0; i < Base::a_count; ++i) {
      const auto four = bit_cast<Pack<float, 4>>(this->a[i]);
      const int row = turned_row(this->a_first + i * Base::a_step, this->a_piece);
      AF_UNROLL
      for (int e = 0; e < 4; ++e) to[(this->a_piece * 4 + e) * tile_rows + row] = four.element[e];
    }
    to += tile_rows * tile_depth;
    AF_UNROLL
    for (int i = 0; i < Base::b_count; ++i) {
      const int at = this->b_first + i * Base::b_step;
      const int column = turned_row(this->b_piece * 4, at / 4);
      *reinterpret_cast<uint4*>(to + at * tile_columns + column) = this->b[i];
    }
  }
};

template <class Loader, int tile_rows, int tile_columns, int tile_depth>
AF_DEVICE void matmul_simt(const MatmulParams& p) {
  ConvIgemmParams product = p.product;
  const BlockTile block = matmul_tile<float, tile_rows, tile_columns, tile_depth>(p, product);
  ThreadTile<tile_rows, tile_columns> tile;
  tile.start();
  Loader loader(product, block);
  multiply_in_threads<tile_depth, true>(loader, tile, block);
  tile.store_sums(product, block);
}

// By form.
template <int tile_rows, int tile_columns, int tile_depth, Access access, Form form>
struct SimtLoader {
  using Type = TurningLoader<tile_rows, tile_columns, tile_depth, access>;
};
template <int tile_rows, int tile_columns, int tile_depth, Access access>
struct SimtLoader<tile_rows, tile_columns, tile_depth, access, Form::turned> {
  using Type = HalfTurningLoader<tile_rows, tile_columns, tile_depth, access>;
};

}  // namespace alphaflops::cuda

#define AF_MATMUL_FP32_KERNEL(rows, columns, depth, access, form)                                  \
  AF_KERNEL void __launch_bounds__((rows) * (columns) / 64, 1)                                     \
      matmul_fp32_##rows##x##columns##x##depth##_##access##_##form(                                \
          AF_PARAM alphaflops::cuda::MatmulParams p) {                                             \
    using namespace alphaflops::cuda;                                                              \
    matmul_simt<SimtLoader<rows, columns, depth, Access::access, Form::form>::Type, rows, columns, \
                depth>(p);                                                                         \
  }
AF_MATMUL_FP32(AF_MATMUL_FP32_KERNEL)
#if AF_ARCH >= 800
AF_MATMUL_TF32(AF_MATMUL_KERNEL)
#endif
