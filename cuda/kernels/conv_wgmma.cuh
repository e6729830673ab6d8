// Convolution as a matrix product with the asynchronous matrix units of sm_90a.
//
// Three warpgroups: the first fills a ring of tiles in shared memory, the others multiply 64 rows
// each. Weights come by the copy engine, and so does the source of pointwise layers; any other
// source is gathered by cp.async, like that of conv_igemm.cuh. Rows of a tile are 128 bytes, placed
// by piece_offset<128>, which is what wgmma calls the 128-byte swizzle.
#pragma once

#include "conv_gather.cuh"
#include "conv_store.cuh"
#include "ptx_wgmma.cuh"

namespace alphaflops::cuda {

inline constexpr int wgmma_rows = 128, wgmma_row_bytes = 128;

template <class Element, int tile_columns, int stages, Access access>
struct ConvWgmma {
  using Stored = typename Matrix<Element>::Stored;
  using Sum = typename Arithmetic<Stored>::Sum;
  static constexpr int tile_depth = wgmma_row_bytes / static_cast<int>(sizeof(Stored));
  static constexpr int a_bytes = wgmma_rows * wgmma_row_bytes;
  static constexpr int b_bytes = tile_columns * wgmma_row_bytes;
  static constexpr int stage_bytes = a_bytes + b_bytes;
  // Copies are announced this many tiles after they were asked for. The consumers keep two tiles,
  // so that fewer than stages - 1 may be asked for and not announced.
  static constexpr int lag = 2;
  static_assert(stages >= lag + 2);
  using Loader = ConvLoader<Stored, wgmma_rows, tile_columns, tile_depth, 128, access>;

  SharedAddress tiles, full, empty;  // barriers of eight bytes a stage

  AF_DEVICE SharedAddress stage(int slot) const {
    return tiles + static_cast<unsigned>(slot * stage_bytes);
  }
  static AF_DEVICE SharedAddress of(SharedAddress barriers, int slot) {
    return barriers + static_cast<unsigned>(slot * 8);
  }

  AF_DEVICE void start() {
    tiles = shared_address(af_dynamic_shared());
    full = tiles + stages * stage_bytes;
    empty = full + stages * 8;
    if (threadIdx.x == 0) {
      AF_UNROLL
      for (int i = 0; i < stages; ++i) {
        barrier_start(of(full, i), access == Access::pointwise ? 1 : 129);
        barrier_start(of(empty, i), 8);  // a lane of each consuming warp
      }
      barrier_publish();
    }
    __syncthreads();
  }

  AF_DEVICE void announce(int slot) const {
    publish_shared();
    barrier_arrive(of(full, slot));
  }

  AF_DEVICE void produce(const ConvWgmmaParams& p, const BlockTile& block) const {
    const int group = static_cast<int>(blockIdx.y);
    const Loader loader(p.product, block);
    int slot = 0, announced = 0, parity = 1;  // the first round waits for nobody
    AF_NO_UNROLL
    for (int i = 0; i < block.depth_tiles; ++i) {
      const int depth = (block.first_depth_tile + i) * tile_depth;
      barrier_wait(of(empty, slot), parity);
      if (threadIdx.x == 0) {
        barrier_arrive_expecting(of(full, slot),
                                 access == Access::pointwise ? stage_bytes : b_bytes);
        copy_box(stage(slot) + a_bytes, p.weights_map, depth,
                 group * p.product.map.columns + block.column, of(full, slot));
        if (access == Access::pointwise) {
          copy_box(stage(slot), p.source_map, depth, group, block.row, of(full, slot));
        }
      }
      if (access != Access::pointwise) {
        const SharedAddress to = stage(slot);
        loader.pieces_at(depth, [&](bool is_weight, int k, const Stored* from, bool valid) {
          if (is_weight) return;
          const int at =
              piece_offset<wgmma_row_bytes>(loader.first + k * Loader::rows_a_pass, loader.piece);
          copy_async_16(to + static_cast<unsigned>(at), from, valid);
        });
        copy_async_commit();
        if (i >= lag) {
          copy_async_wait<lag>();
          announce(announced);
          announced = announced + 1 == stages ? 0 : announced + 1;
        }
      }
      slot = slot + 1 == stages ? 0 : slot + 1;
      if (slot == 0) parity ^= 1;
    }
    if (access != Access::pointwise) {
      copy_async_wait<0>();
      while (announced != slot) {
        announce(announced);
        announced = announced + 1 == stages ? 0 : announced + 1;
      }
    }
  }

  AF_DEVICE void consume(const ConvWgmmaParams& p, const BlockTile& block) const {
    const int thread = static_cast<int>(threadIdx.x) - 128, consumer = thread / 128;
    Sum sums[tile_columns / 2];
    AF_UNROLL
    for (int i = 0; i < tile_columns / 2; ++i) sums[i] = 0;
    int slot = 0, last = 0, parity = 0;
    AF_NO_UNROLL
    for (int i = 0; i < block.depth_tiles; ++i) {
      barrier_wait(of(full, slot), parity);
      products_fence();
      const unsigned long long a =
          tile_descriptor(stage(slot) + static_cast<unsigned>(consumer * 64 * wgmma_row_bytes));
      const unsigned long long b = tile_descriptor(stage(slot) + a_bytes);
      AF_UNROLL
      for (int k = 0; k < wgmma_row_bytes / 32; ++k) {
        multiply_tiles_64(Element{}, sums, a + static_cast<unsigned>(k * 2),
                          b + static_cast<unsigned>(k * 2));
      }
      products_commit();
      products_wait<1>();
      if (i > 0 && thread % 32 == 0) barrier_arrive(of(empty, last));
      last = slot;
      slot = slot + 1 == stages ? 0 : slot + 1;
      if (slot == 0) parity ^= 1;
    }
    products_wait<0>();
    settle(sums);
    sync_threads_of(1, 256);  // both have read their tiles, which slabs now take the place of
    store_sums(p.product, block, sums, thread / 32);
  }

  static AF_DEVICE void store_sums(const ConvIgemmParams& p, const BlockTile& block,
                                   const Sum (&sums)[tile_columns / 2], int warp) {
    constexpr int n = 8;  // columns in runs of 64
    static_assert(8 * 16 * slab_pitch<n> * 4 <= stages * stage_bytes);
    Sum* slab = static_cast<Sum*>(af_dynamic_shared()) + warp * 16 * slab_pitch<n>;
    AF_UNROLL
    for (int run = 0; run < tile_columns / (n * 8); ++run) {
      Sum part[1][n][4];
      AF_UNROLL
      for (int i = 0; i < n * 4; ++i) part[0][i / 4][i % 4] = sums[run * n * 4 + i];
      store_warp<Stored>(p, block.row + warp * 16, block.column + run * n * 8, part, slab);
    }
  }

  AF_DEVICE void run(const ConvWgmmaParams& p) {
    const BlockTile block = block_tile<wgmma_rows, tile_columns>(p.product);
    start();
    if (threadIdx.x < 128) {
      give_registers<88>();
      produce(p, block);
    } else {
      take_registers<208>();
      consume(p, block);
    }
  }
};

}  // namespace alphaflops::cuda

#define AF_CONV_WGMMA_KERNEL(type, columns, stages, access)       \
  AF_KERNEL void __launch_bounds__(384, 1)                        \
      conv_wgmma_##type##_128x##columns##_s##stages##_##access(   \
          AF_PARAM alphaflops::cuda::ConvWgmmaParams p) {         \
    using namespace alphaflops::cuda;                             \
    ConvWgmma<dtype::type, columns, stages, Access::access> body; \
    body.run(p);                                                  \
  }
// The instructions exist on exactly this architecture.
#if defined(AF_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define AF_HAS_WGMMA 1
#else
#define AF_HAS_WGMMA 0
#endif
