// What a ConvWorkbench holds: memory, random numbers, threads.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "alphaflops/conv_bench.hpp"
#include "alphaflops/system.hpp"
#include "alphaflops/threads.hpp"
#include "memory.hpp"

namespace alphaflops {

inline constexpr std::int64_t line_bytes = line_floats * float_bytes;

// Inputs and weights of all benches are the same random numbers: packed weights are numbers in some
// order. Address space for the limit is reserved, so that nothing moves.
struct ConvWorkbench::Blocks {
  Blocks(int most_threads, std::uint64_t seed_, std::int64_t bytes);

  /// Makes the memory up to there a bench's: random numbers and zeros, the pages behind it.
  void reserve(std::int64_t number_floats, std::int64_t scratch_floats);

  /// Removes a buffer from every level of cache.
  void evict(const float* data, std::int64_t floats);

  /// Null for one thread; the others are started when first asked for.
  ThreadPool* pool(int count);

  int threads;
  std::uint64_t seed;
  std::int64_t limit_bytes;
  Memory numbers, scratch, eviction;
  std::int64_t filled = 0, used = 0;                // floats
  std::vector<int> processors = thread_affinity();  // of the calling thread before any pool
  std::map<int, std::unique_ptr<ThreadPool>> pools;
};

}  // namespace alphaflops
