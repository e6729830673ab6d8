// Convolution as a matrix product with the asynchronous matrix units of sm_90a.
//
// Three warpgroups: the first fills a ring of tiles in shared memory, the others multiply 64 rows
// each. Weights come by the copy engine, and so does the source of pointwise layers; any other
// source is gathered by cp.async, like that of conv_igemm.cuh. Rows of a tile are 128 bytes, placed
// by piece_offset<128>, which is what wgmma calls the 128-byte swizzle.
//
// Blocks stay: each walks over tiles of the result (tile_walk.cuh). The ring goes on from one tile
// to the next, so that the first of the next are there when the last sums are stored. The blocks
// of a cluster make tiles of the same columns at the same time, and each brings a part of the
// weights for all.
#pragma once

#include "conv_gather.cuh"
#include "conv_wgmma_store.cuh"
#include "ptx_wgmma.cuh"

namespace alphaflops::cuda {

template <class Element, int tile_columns, int stages, int cluster, int blocks, Access access>
struct ConvWgmma {
  using Stored = typename Matrix<Element>::Stored;
  using Sum = typename Arithmetic<Stored>::Sum;
  static constexpr int tile_depth = wgmma_row_bytes / static_cast<int>(sizeof(Stored));
  static constexpr int a_bytes = wgmma_rows * wgmma_row_bytes;
  static constexpr int b_bytes = tile_columns * wgmma_row_bytes;
  static constexpr int stage_bytes = a_bytes + b_bytes;
  static constexpr int slabs = wgmma_slabs(blocks);
  static_assert(stages > 2);  // those that multiply keep two tiles
  using Loader = ConvLoader<Stored, wgmma_rows, tile_columns, tile_depth, 128, access>;
  static constexpr bool gathers = access != Access::pointwise;

  const ConvWgmmaParams& p;
  SharedAddress tiles, full, empty;  // barriers of eight bytes a stage
  int rank;                          // in the cluster

  AF_DEVICE explicit ConvWgmma(const ConvWgmmaParams& params) : p(params) {
    tiles = shared_address(af_dynamic_shared());
    full = tiles + stages * stage_bytes + 2 * slabs * slab_bytes;
    empty = full + stages * 8;
    rank = cluster == 1 ? 0 : cluster_rank();
  }

  AF_DEVICE SharedAddress stage(int slot) const {
    return tiles + static_cast<unsigned>(slot * stage_bytes);
  }
  static AF_DEVICE SharedAddress of(SharedAddress barriers, int slot) {
    return barriers + static_cast<unsigned>(slot * 8);
  }
  // The place in the ring, and whether the round there is an odd one.
  static AF_DEVICE void step(int& slot, int& parity) {
    slot = slot + 1 == stages ? 0 : slot + 1;
    if (slot == 0) parity ^= 1;
  }

  AF_DEVICE void start() const {
    if (threadIdx.x == 0) {
      AF_UNROLL
      for (int i = 0; i < stages; ++i) {
        barrier_start(of(full, i), gathers ? 129 : 1);
        barrier_start(of(empty, i), 8 * cluster);  // a lane of each warp that multiplies
      }
      barrier_publish();
    }
    sync();
  }

  // All blocks of the cluster: none may leave while another still writes to it.
  static AF_DEVICE void sync() {
    if constexpr (cluster > 1) {
      cluster_sync();
    } else {
      __syncthreads();
    }
  }

  // Calls f(unit, tile) for every tile of this block.
  template <class F>
  AF_DEVICE void each_tile(const F& f) const {
    const ConvIgemmParams& product = p.product;
    AF_NO_UNROLL
    for (int i = static_cast<int>(blockIdx.x) / cluster; i < p.walk.units;
         i += static_cast<int>(gridDim.x) / cluster) {
      const WalkedUnit unit = unit_at(p.walk, i);
      f(unit, tile_of<tile_depth>(product, (unit.row * cluster + rank) * wgmma_rows,
                                  unit.column * tile_columns, unit.split));
    }
  }

  // ---- the first warpgroup ----

  AF_DEVICE void copy_weights(int slot, int depth, int column) const {
    constexpr int part = tile_columns / cluster;
    const SharedAddress to =
        stage(slot) + a_bytes + static_cast<unsigned>(rank * part * wgmma_row_bytes);
    if constexpr (cluster > 1) {
      copy_box_to_all(to, p.weights_map, depth, column + rank * part, of(full, slot), cluster);
    } else {
      copy_box(to, p.weights_map, depth, column, of(full, slot));
    }
  }

  AF_DEVICE void produce_pointwise() const {
    if (threadIdx.x != 0) return;
    int slot = 0, parity = 1;  // the first round waits for nobody
    each_tile([&](const WalkedUnit& unit, const BlockTile& tile) {
      AF_NO_UNROLL
      for (int i = 0; i < tile.depth_tiles; ++i) {
        const int depth = (tile.first_depth_tile + i) * tile_depth;
        barrier_wait(of(empty, slot), parity);
        barrier_arrive_expecting(of(full, slot), stage_bytes);
        copy_weights(slot, depth, unit.group * p.product.map.columns + tile.column);
        copy_box(stage(slot), p.source_map, depth, unit.group, tile.row, of(full, slot));
        step(slot, parity);
      }
    });
  }

  AF_DEVICE void produce_gathered() const {
    int slot = 0, parity = 1;
    each_tile([&](const WalkedUnit& unit, const BlockTile& tile) {
      const Loader loader(p.product, tile, unit.group);
      AF_NO_UNROLL
      for (int i = 0; i < tile.depth_tiles; ++i) {
        const int depth = (tile.first_depth_tile + i) * tile_depth;
        barrier_wait(of(empty, slot), parity);
        if (threadIdx.x == 0) {
          barrier_arrive_expecting(of(full, slot), b_bytes);
          copy_weights(slot, depth, unit.group * p.product.map.columns + tile.column);
        }
        const SharedAddress to = stage(slot);
        loader.pieces_at(depth, [&](bool is_weight, int k, const Stored* from, bool valid) {
          if (is_weight) return;
          const int at =
              piece_offset<wgmma_row_bytes>(loader.first + k * Loader::rows_a_pass, loader.piece);
          copy_async_16(to + static_cast<unsigned>(at), from, valid);
        });
        barrier_arrive_after_copies(of(full, slot));
        step(slot, parity);
      }
    });
  }

  // ---- the other two ----

  AF_DEVICE void release(int slot) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if constexpr (cluster > 1) {
      if (lane < cluster) barrier_arrive_at(of(empty, slot), lane);
    } else {
      if (lane == 0) barrier_arrive(of(empty, slot));
    }
  }

  AF_DEVICE void consume() const {
    const int warpgroup = uniform(static_cast<int>(threadIdx.x) / 128 - 1);
    WgmmaStore<Stored, tile_columns, slabs> output(
        p, warpgroup, static_cast<int>(threadIdx.x) % 128, tiles + stages * stage_bytes);
    int slot = 0, parity = 0;
    each_tile([&](const WalkedUnit& unit, const BlockTile& tile) {
      Sum sums[tile_columns / 2];
      int last = 0;
      AF_NO_UNROLL
      for (int i = 0; i < tile.depth_tiles; ++i) {
        barrier_wait(of(full, slot), parity);
        if constexpr (gathers) publish_shared();  // cp.async writes as threads do
        products_fence();
        const unsigned long long a =
            tile_descriptor(stage(slot) + static_cast<unsigned>(warpgroup * 64 * wgmma_row_bytes));
        const unsigned long long b = tile_descriptor(stage(slot) + a_bytes);
        AF_UNROLL
        for (int k = 0; k < wgmma_row_bytes / 32; ++k) {
          multiply_tiles_64(Element{}, sums, a + static_cast<unsigned>(k * 2),
                            b + static_cast<unsigned>(k * 2), k > 0 ? 1 : i);
        }
        products_commit();
        products_wait<1>();
        if (i > 0) release(last);
        last = slot;
        step(slot, parity);
      }
      products_wait<0>();
      release(last);
      settle(sums);
      output.store(tile.row + warpgroup * 64, tile.column, unit, sums);
    });
    output.end();
  }

  AF_DEVICE void run() const {
    start();
    if (threadIdx.x < 128) {
      if constexpr (blocks == 1) give_registers<88>();
      if constexpr (gathers) {
        produce_gathered();
      } else {
        produce_pointwise();
      }
    } else {
      if constexpr (blocks == 1) take_registers<208>();
      consume();
    }
    // Nor does a thread leave its copies behind.
    if constexpr (cluster > 1 || gathers) sync();
  }
};

}  // namespace alphaflops::cuda

#define AF_CONV_WGMMA_KERNEL(type, columns, stages, cluster, blocks, access)                \
  AF_KERNEL void __launch_bounds__(384, blocks)                                             \
      conv_wgmma_##type##_128x##columns##_s##stages##_c##cluster##_b##blocks##_##access(    \
          AF_PARAM alphaflops::cuda::ConvWgmmaParams p) {                                   \
    using namespace alphaflops::cuda;                                                       \
    const ConvWgmma<dtype::type, columns, stages, cluster, blocks, Access::access> body(p); \
    body.run();                                                                             \
  }
// The instructions exist on exactly this architecture.
#if defined(AF_EMULATED) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define AF_HAS_WGMMA 1
#else
#define AF_HAS_WGMMA 0
#endif
