// Which activations share memory: offsets in one block, planned from when each tensor is alive.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace alphaflops {

/// A tensor is written in step `first` and last read in step `last`.
struct Lifetime {
  std::int64_t floats = 0;
  int first = 0;
  int last = 0;
};

struct ArenaPlan {
  std::vector<std::int64_t> offsets;  // floats, a multiple of a cache line
  std::int64_t floats = 0;
};

/// Largest tensor first, each at the lowest offset free for as long as it lives (the greedy by size
/// of Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net Inference", MLSys
/// workshop 2020, arXiv 2001.03288), which is what deployment runtimes do.
ArenaPlan plan_arena(std::span<const Lifetime> tensors);

}  // namespace alphaflops
