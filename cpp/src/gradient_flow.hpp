// Which tensors get a gradient: those with something trainable before them and an end behind them.
#pragma once

#include <string>
#include <vector>

#include "alphaflops/graph.hpp"
#include "alphaflops/training.hpp"

namespace alphaflops {

class GradientFlow {
 public:
  /// Raises UnsupportedError for a prefix that no layer's name has, ShapeError for `accumulate`.
  GradientFlow(const Graph& graph, const Training& training);

  /// Whether the gradient of the node's tensor is computed.
  bool reaches(int node) const { return reached_[static_cast<std::size_t>(node)]; }
  /// Whether the gradient of that operand is computed.
  bool reaches_operand(int node, std::size_t operand) const;
  /// Whether the gradient of the node's weights is computed: of its own, of those that it is tied
  /// to, or of a tensor that was computed from parameters.
  bool trains(int node) const { return trained_[static_cast<std::size_t>(node)] && reaches(node); }
  /// That tensor, where a gradient goes on to it; -1 where the weights are parameters.
  int computed_weights(int node) const;

 private:
  const Graph& graph_;
  std::vector<bool> trained_, reached_;
};

/// Parameters that the node uses, its own or those it is tied to; of a constant, its elements where
/// it is trainable.
std::int64_t parameters_of(const Graph& graph, int node);

/// The node whose parameters it uses: itself or the one it is tied to.
int owner_of(const Graph& graph, int node);

/// Whether the gradient of the operand is the output's own storage: of sums, concatenations, views.
bool shares_gradient(const Graph& graph, int node, std::size_t operand);

/// The number of the first prefix that stands for the name, -1 for none.
int prefix_of(const std::string& name, const std::vector<std::string>& prefixes);

}  // namespace alphaflops
