// What a thread makes of tiles in shared memory whose rows are of one depth: [depth][row].
//
// It has 8 x 8 sums, in four blocks of 4 x 4, so that it reads what it multiplies as float4.
#pragma once

#include "conv_epilogue.cuh"
#include "conv_tile.cuh"
#include "matrix_pipeline.cuh"

namespace alphaflops::cuda {

// A turned row is put where its depth says, so that the pieces of a warp, 16 rows of 2 pieces, go
// to different banks. Four rows that start at a multiple of four stay together.
AF_DEVICE int turned_row(int row, int piece) { return row ^ (piece << 4); }

// 8 x 8 sums of a thread; its rows are 4 row_lane + {0..3} and half a tile further.
template <int tile_rows, int tile_columns>
struct ThreadTile {
  float sums[2][2][4][4];
  int row, column;  // of its first

  // A warp has 4 x 8 threads.
  AF_DEVICE void start() {
    constexpr int warps_n = tile_columns / 64;
    const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
    row = (warp / warps_n * 4 + lane / 8) * 4;
    column = (warp % warps_n * 8 + lane % 8) * 4;
    AF_UNROLL
    for (int i = 0; i < 64; ++i) sums[i / 32][i / 16 % 2][i / 4 % 4][i % 4] = 0.0f;
  }

  // One step of the depth, from its rows in shared memory.
  AF_DEVICE void add(const float* a_row, const float* b_row, int piece) {
    Pack<float, 4> a[2], b[2];
    AF_UNROLL
    for (int half = 0; half < 2; ++half) {
      a[half] = load<float, 4>(a_row + turned_row(row, piece) + half * (tile_rows / 2));
      b[half] = load<float, 4>(b_row + turned_row(column, piece) + half * (tile_columns / 2));
    }
    AF_UNROLL
    for (int y = 0; y < 2; ++y) {
      AF_UNROLL
      for (int x = 0; x < 2; ++x) {
        AF_UNROLL
        for (int i = 0; i < 4; ++i) {
          AF_UNROLL
          for (int j = 0; j < 4; ++j) sums[y][x][i][j] += a[y].element[i] * b[x].element[j];
        }
      }
    }
  }

  AF_DEVICE void store_sums(const ConvIgemmParams& p, const BlockTile& block) const {
    Epilogue<float, 4> epilogue[2];
    AF_UNROLL
    for (int x = 0; x < 2; ++x) {
      epilogue[x].start(p, block.column + column + x * (tile_columns / 2),
                        static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z), block.phase);
    }
    AF_UNROLL
    for (int y = 0; y < 2; ++y) {
      AF_UNROLL
      for (int i = 0; i < 4; ++i) {
        AF_UNROLL
        for (int x = 0; x < 2; ++x) {  // one division of the row serves both
          epilogue[x].store_row(p, block.row + row + y * (tile_rows / 2) + i, sums[y][x][i]);
        }
      }
    }
  }
};

// All of a block's depth, through two stages; of tiles that are turned or lie as they are.
template <int tile_depth, bool is_turned, class Loader, int tile_rows, int tile_columns>
AF_DEVICE void multiply_in_threads(Loader& loader, ThreadTile<tile_rows, tile_columns>& tile,
                                   const BlockTile& block) {
  multiply_staged(loader, static_cast<unsigned char*>(af_dynamic_shared()), block,
                  [&](const unsigned char* stage) {
                    const auto* a = reinterpret_cast<const float*>(stage);
                    const auto* b = reinterpret_cast<const float*>(stage + Loader::a_bytes);
                    AF_UNROLL
                    for (int depth = 0; depth < tile_depth; ++depth) {
                      tile.add(a + depth * tile_rows, b + depth * tile_columns,
                               is_turned ? depth / 4 : 0);
                    }
                  });
}

}  // namespace alphaflops::cuda
