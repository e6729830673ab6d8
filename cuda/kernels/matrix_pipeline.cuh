// Tiles of the operands go to shared memory while those before them are multiplied.
//
// A loader has stage_bytes, a_bytes and, tile after tile of the depth, either
//   copy(tile, stage)           asynchronous copies to the address of a stage, or
//   fetch(tile), put(stage)     the same through registers;
// a warp has add(a_tile, b_tile), which multiplies the whole depth of a tile.
#pragma once

#include "conv_tile.cuh"
#include "ptx.cuh"

namespace alphaflops::cuda {

// Copies run ahead of the products by themselves (sm_80).
template <int stages, class Loader, class Warp>
AF_DEVICE void multiply_ahead(Loader& loader, Warp& warp, SharedAddress shared,
                              const BlockTile& block) {
  AF_UNROLL
  for (int i = 0; i < stages - 1; ++i) {
    if (i < block.depth_tiles) {
      loader.copy(block.first_depth_tile + i,
                  shared + static_cast<unsigned>(i * Loader::stage_bytes));
    }
    copy_async_commit();
  }
  int slot = 0, next = stages - 1;
  AF_NO_UNROLL
  for (int tile = 0; tile < block.depth_tiles; ++tile) {
    copy_async_wait<stages - 2>();
    __syncthreads();  // the copies of all threads are there, and slot `next` is no longer read
    if (tile + stages - 1 < block.depth_tiles) {
      loader.copy(block.first_depth_tile + tile + stages - 1,
                  shared + static_cast<unsigned>(next * Loader::stage_bytes));
    }
    copy_async_commit();
    const SharedAddress a = shared + static_cast<unsigned>(slot * Loader::stage_bytes);
    warp.add(a, a + Loader::a_bytes);
    next = slot;
    slot = slot + 1 == stages ? 0 : slot + 1;
  }
  copy_async_wait<0>();
}

// Two stages: the next tile waits in registers while this one is multiplied. One tile too many is
// fetched, of zeros or of the next split: under a condition, the assembler moves the loads down to
// where what they bring is stored, and every tile waits for memory.
template <class Loader, class Multiply>
AF_DEVICE void multiply_staged(Loader& loader, unsigned char* shared, const BlockTile& block,
                               const Multiply& multiply) {
  if (block.depth_tiles > 0) {
    loader.fetch(block.first_depth_tile);
    loader.put(shared);
  }
  __syncthreads();
  AF_NO_UNROLL
  for (int tile = 0; tile < block.depth_tiles; ++tile) {
    loader.fetch(block.first_depth_tile + tile + 1);
    multiply(shared + tile % 2 * Loader::stage_bytes);
    loader.put(shared + (tile + 1) % 2 * Loader::stage_bytes);
    __syncthreads();
  }
}

template <int stages, class Loader, class Warp>
AF_DEVICE void multiply_tiles(Loader& loader, Warp& warp, unsigned char* shared,
                              const BlockTile& block) {
  if constexpr (stages == 2) {
    multiply_staged(loader, shared, block, [&](unsigned char* stage) {
      const SharedAddress a = shared_address(stage);
      warp.add(a, a + Loader::a_bytes);
    });
  } else {
    multiply_ahead<stages>(loader, warp, shared_address(shared), block);
  }
}

}  // namespace alphaflops::cuda
