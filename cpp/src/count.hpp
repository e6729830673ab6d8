// Parts of counting that gradients and memory share.
#pragma once

#include <cstdint>
#include <vector>

#include "alphaflops/graph.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// The work of a node whose parameters are its own and whose operands are all activations.
Work own_work(const Graph& graph, int node);

/// The tensor that views and parts stand for.
int root_of(const Graph& graph, int tensor);

/// Adds how a copy reads, of that shape and with its axes in that order in what it reads: `width`
/// elements in a row of those that it writes lie `stride` apart, and that is a multiple of
/// `kernel_volume`, a power of two, which a cache's sets feel.
void count_order(Work& work, const Shape& shape, const std::vector<std::int64_t>& order);

}  // namespace alphaflops
