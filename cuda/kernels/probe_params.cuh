// What tells what a device can do: what the plans and the kernels share.
#pragma once

#include "types.cuh"

namespace alphaflops::cuda {

inline constexpr int probe_threads = 256;
inline constexpr int fma_chains = 16;  // independent sums of a thread
inline constexpr int fma_steps = 8;    // of each chain an iteration
inline constexpr int mma_tiles = 8;    // independent results of a warp, 16 x 8
inline constexpr int wgmma_threads = 128;
inline constexpr int probe_rows = 64, probe_columns = 128;
inline constexpr int wgmma_steps = 16;  // an iteration
inline constexpr int wgmma_slices = 4;  // of 32 bytes of depth, in turn

struct FmaParams {
  void* output;  // 4 bytes a thread, so that the work is not dropped
  int iterations;
  float factor, addend;
};

struct CopyProbeParams {
  const void* input;
  void* output;
  long long packs;  // of 16 bytes
  int tail_bytes;   // after them
};

struct ReadProbeParams {
  const void* input;
  void* output;  // 4 bytes a thread
  int packs;     // of 16 bytes
  int repeats;
};

struct FlushParams {
  void* output;
  long long packs;  // of 16 bytes
};

struct EmptyParams {
  int unused;
};

struct BlockParams {
  const void* flag;  // a word that the host writes
  long long timeout_ns;
};

}  // namespace alphaflops::cuda
