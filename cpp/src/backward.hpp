// The gradients of one node: the rows that compute them, and what the forward pass keeps for them.
#pragma once

#include <cstdint>
#include <vector>

#include "alphaflops/graph.hpp"
#include "alphaflops/work.hpp"
#include "gradient_flow.hpp"

namespace alphaflops {

/// What is alive from a node's forward to its backward pass, as PyTorch's autograd keeps it.
struct Kept {
  std::vector<int> tensors;  // operands, and the node itself for its output
  std::int64_t bytes = 0;    // of masks, indices, statistics, scores
};
Kept kept_of(const Graph& graph, int node, const GradientFlow& flow, bool recompute_attention);

/// The node's input gradients, then the gradient of its parameters; none where none is needed or
/// where gradients are views. Weights and constants are `weights_read`, `params` is 0.
std::vector<Work> backward_of(const Graph& graph, int node, const GradientFlow& flow,
                              bool recompute_attention);

/// The node's forward row as training runs it: with the statistics of a batch norm, and with what
/// is kept, in elements of the graph's type, written.
void count_in_training(Work& forward, const Graph& graph, int node, const Kept& kept);

}  // namespace alphaflops
