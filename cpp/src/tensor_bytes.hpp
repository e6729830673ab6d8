// Bytes of tensors, and of those that are there only while an operator runs.
#pragma once

#include <cstdint>
#include <vector>

#include "alphaflops/graph.hpp"
#include "gradient_flow.hpp"

namespace alphaflops {

inline constexpr std::int64_t index_bytes = 8;
/// Of means, deviations and sums of exponentials.
inline constexpr std::int64_t statistic_bytes = 4;

/// Indices take 8 bytes and truth values 1, whatever the graph's type is.
std::int64_t tensor_bytes(const Graph& graph, int node, const std::vector<int>& readers);

/// PyTorch's max pools always make indices, its attention the sums of its rows, its batch norms in
/// training their statistics.
std::int64_t forward_scratch(const Graph& graph, int node, bool in_training);

/// Kept scores have a gradient before and behind the softmax; what was broadcast has one as large
/// as the output before it is summed.
std::int64_t backward_scratch(const Graph& graph, int node, const GradientFlow& flow,
                              bool recompute_attention);

}  // namespace alphaflops
