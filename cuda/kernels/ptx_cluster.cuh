// Instructions of sm_90a beyond one block: clusters of blocks that share what the copy engine
// brings, and copies from shared memory. PTX ISA: "Cluster", "mapa", "cp.async.bulk.tensor".
#pragma once

#include "ptx_hopper.cuh"

namespace alphaflops::cuda {

// Which block of its cluster this is.
AF_DEVICE int cluster_rank() {
#if defined(AF_EMULATED)
  return emulate::block().rank();
#else
  int rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return rank;
#endif
}

// All threads of the cluster; barriers that were started before are seen after.
AF_DEVICE void cluster_sync() {
#if defined(AF_EMULATED)
  emulate::block().cluster_barrier();
#else
  asm volatile(
      "barrier.cluster.arrive.release;\n"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
#endif
}

// Arrives at the barrier that is where `barrier` is, but in block `rank` of the cluster. Of the
// scope that instructions have by default: with that of the cluster the assembler fences all
// memory, and what is handed over here has been read by the matrix units when their group is over.
AF_DEVICE void barrier_arrive_at(SharedAddress barrier, int rank) {
#if defined(AF_EMULATED)
  emulate::barrier_arrive(emulate::address_in(barrier, rank), 0);
#else
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "mbarrier.arrive.shared::cluster.b64 _, [there];\n"
      "}" ::"r"(barrier),
      "r"(rank)
      : "memory");
#endif
}

// copy_box to the same place in the `blocks` first blocks of the cluster, whose barriers each count
// what comes to them.
AF_DEVICE void copy_box_to_all(SharedAddress to, const void* map, int x, int y,
                               SharedAddress barrier, int blocks) {
#if defined(AF_EMULATED)
  for (int rank = 0; rank < blocks; ++rank) {
    emulate::copy_box(emulate::address_in(to, rank), map, {x, y, 0, 0},
                      emulate::address_in(barrier, rank));
  }
#else
  asm volatile(
      "cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3}], [%4], %5;" ::"r"(to),
      "l"(map), "r"(x), "r"(y), "r"(barrier), "h"(static_cast<unsigned short>((1 << blocks) - 1))
      : "memory");
#endif
}

// ---- from shared memory; what lies outside of the tensor is left out ----

AF_DEVICE void store_box(const void* map, int x, int y, int z, int w, SharedAddress from) {
#if defined(AF_EMULATED)
  emulate::store_box(map, {x, y, z, w}, from);
#else
  asm volatile(
      "cp.async.bulk.tensor.4d.global.shared::cta.bulk_group [%0, {%1, %2, %3, %4}], [%5];" ::"l"(
          map),
      "r"(x), "r"(y), "r"(z), "r"(w), "r"(from)
      : "memory");
#endif
}

AF_DEVICE void stores_commit() {
#if defined(AF_EMULATED)
  emulate::stores_commit();
#else
  asm volatile("cp.async.bulk.commit_group;" ::: "memory");
#endif
}

// Until at most `pending` of this thread's groups have yet to read shared memory.
template <int pending>
AF_DEVICE void stores_wait_read() {
#if defined(AF_EMULATED)
  emulate::stores_wait(pending);
#else
  asm volatile("cp.async.bulk.wait_group.read %0;" ::"n"(pending) : "memory");
#endif
}

// Until all have written, too.
AF_DEVICE void stores_wait() {
#if defined(AF_EMULATED)
  emulate::stores_wait(0);
#else
  asm volatile("cp.async.bulk.wait_group 0;" ::: "memory");
#endif
}

}  // namespace alphaflops::cuda
