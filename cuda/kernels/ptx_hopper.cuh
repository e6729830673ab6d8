// Instructions of sm_90a: barriers in shared memory, the copy engine, matrix products of 128
// threads. PTX ISA: "mbarrier", "cp.async.bulk.tensor", "Asynchronous warpgroup level matrix
// instructions".
#pragma once

#include "ptx.cuh"

#if defined(AF_EMULATED)
#include "../../tests/cuda/emulate_hopper.hpp"
#endif

namespace alphaflops::cuda {

// A number that is the same in all lanes of a warp, as the compiler knows afterwards.
AF_DEVICE int uniform(int x) { return __shfl_sync(0xffffffffu, x, 0); }

// A barrier flips its phase when `count` threads have arrived and all bytes expected have come.
AF_DEVICE void barrier_start(SharedAddress barrier, int count) {
#if defined(AF_EMULATED)
  emulate::barrier_start(barrier, count);
#else
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(barrier), "r"(count) : "memory");
#endif
}

// What barrier_start wrote is seen by the copy engine.
AF_DEVICE void barrier_publish() {
#if !defined(AF_EMULATED)
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
}

AF_DEVICE void barrier_arrive(SharedAddress barrier) {
#if defined(AF_EMULATED)
  emulate::barrier_arrive(barrier, 0);
#else
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(barrier) : "memory");
#endif
}

// Arrives once all of this thread's copies so far by copy_async_16 are there.
AF_DEVICE void barrier_arrive_after_copies(SharedAddress barrier) {
#if defined(AF_EMULATED)
  emulate::barrier_arrive_after_copies(barrier);
#else
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(barrier) : "memory");
#endif
}

AF_DEVICE void barrier_arrive_expecting(SharedAddress barrier, int bytes) {
#if defined(AF_EMULATED)
  emulate::barrier_arrive(barrier, bytes);
#else
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
               : "memory");
#endif
}

// Until the phase of that parity is over.
AF_DEVICE void barrier_wait(SharedAddress barrier, int parity) {
#if defined(AF_EMULATED)
  emulate::barrier_wait(barrier, parity);
#else
  asm volatile(
      "{\n"
      ".reg .pred done;\n"
      "again:\n"
      "mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1;\n"
      "@done bra finished;\n"
      "bra again;\n"
      "finished:\n"
      "}" ::"r"(barrier),
      "r"(parity)
      : "memory");
#endif
}

// What threads wrote to shared memory, as far as this one has seen it, is seen by its matrix
// products and by the copy engine.
AF_DEVICE void publish_shared() {
#if defined(AF_EMULATED)
  emulate::block().publish();
#else
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// A box of a tensor map, from coordinates (x, y) or (x, y, z) on, zeros outside of the tensor; its
// bytes arrive at the barrier.
AF_DEVICE void copy_box(SharedAddress to, const void* map, int x, int y, SharedAddress barrier) {
#if defined(AF_EMULATED)
  emulate::copy_box(to, map, {x, y, 0, 0}, barrier);
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3}], [%4];" ::"r"(to),
      "l"(map), "r"(x), "r"(y), "r"(barrier)
      : "memory");
#endif
}

AF_DEVICE void copy_box(SharedAddress to, const void* map, int x, int y, int z,
                        SharedAddress barrier) {
#if defined(AF_EMULATED)
  emulate::copy_box(to, map, {x, y, z, 0}, barrier);
#else
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes "
      "[%0], [%1, {%2, %3, %4}], [%5];" ::"r"(to),
      "l"(map), "r"(x), "r"(y), "r"(z), "r"(barrier)
      : "memory");
#endif
}

// A barrier of `count` threads among some warps of the block.
AF_DEVICE void sync_threads_of(int barrier, int count) {
#if defined(AF_EMULATED)
  emulate::block().barrier(barrier, count);
#else
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(count) : "memory");
#endif
}

template <int registers>
AF_DEVICE void take_registers() {
#if !defined(AF_EMULATED)
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(registers));
#endif
}
template <int registers>
AF_DEVICE void give_registers() {
#if !defined(AF_EMULATED)
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(registers));
#endif
}

// Where wgmma finds a tile of rows of 128 swizzled bytes, eight of which take 1024: address, bytes
// from eight rows to the next eight, swizzle mode 1 (128 bytes). A step of 32 bytes along the depth
// is a step of the address, as the swizzle is of absolute addresses.
AF_DEVICE unsigned long long tile_descriptor(SharedAddress tile) {
#if defined(AF_EMULATED)
  const unsigned long long address = emulate::shared_offset(tile);
#else
  const unsigned long long address = tile;
#endif
  return ((address & 0x3ffffu) >> 4) | (1ull << 16) | ((1024ull >> 4) << 32) | (1ull << 62);
}

AF_DEVICE void products_fence() {
#if !defined(AF_EMULATED)
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
}
AF_DEVICE void products_commit() {
#if defined(AF_EMULATED)
  emulate::products_commit();
#else
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}
// Until at most `pending` groups of products are under way.
template <int pending>
AF_DEVICE void products_wait() {
#if defined(AF_EMULATED)
  emulate::products_wait(pending);
#else
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(pending) : "memory");
#endif
}

// Keeps the compiler from using the sums before what comes before this.
template <int count>
AF_DEVICE void settle([[maybe_unused]] float (&sums)[count]) {
#if !defined(AF_EMULATED)
  AF_UNROLL
  for (int i = 0; i < count; ++i) asm volatile("" : "+f"(sums[i])::"memory");
#endif
}
template <int count>
AF_DEVICE void settle([[maybe_unused]] int (&sums)[count]) {
#if !defined(AF_EMULATED)
  AF_UNROLL
  for (int i = 0; i < count; ++i) asm volatile("" : "+r"(sums[i])::"memory");
#endif
}

}  // namespace alphaflops::cuda
