// One step of training as rows of the work table: forward, gradients, optimiser.
//
//     forward rows, last layer's gradients to the first's     (`accumulate` times)
//     optimiser rows                                          (once)
//
// docs/training.md says what each row counts. The loss is no part of a graph: a step starts with
// the gradients of the tensors that no node reads.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "alphaflops/graph.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// momentum: SGD with one momentum buffer.
enum class Optimizer : std::uint8_t { none, sgd, momentum, adam, adamw };
std::string_view to_string(Optimizer optimizer);
/// Raises UnsupportedError listing the known names.
Optimizer parse_optimizer(std::string_view name);

/// What an optimiser does to one parameter.
struct OptimizerCost {
  std::int64_t flops = 0;
  std::int64_t states = 0;  // elements it keeps, reads and writes
};
OptimizerCost cost_of(Optimizer optimizer);

inline constexpr std::int64_t most_micro_batches = 16384;

/// A prefix stands for the layer of that name and those below it: "layer1" for "layer1.0.conv1",
/// not for "layer10".
struct Training {
  Optimizer optimizer = Optimizer::sgd;
  std::vector<std::string> frozen{};  // layers without gradients of their parameters
  std::vector<std::string>
      checkpoint{};                  // layers whose forward rows run again in the backward pass
  std::int64_t accumulate = 1;       // micro-batches a step, each of the graph's batch
  bool recompute_attention = false;  // scores are computed again and not kept
};

/// The rows of one step. `params` stands in the first forward rows only. In fused mode an
/// activation shares the launch before it and a norm does not, since it needs the batch's
/// statistics; gradients have a row an operator in both. Raises UnsupportedError for a prefix
/// without a layer, ShapeError for `accumulate` below 1 or above `most_micro_batches`.
WorkTable lower(const Graph& graph, Mode mode, const Training& training);

}  // namespace alphaflops
