#include "backward.hpp"

#include "backward_rows.hpp"
#include "element_backward.hpp"

namespace alphaflops {
namespace {

/// Operations an element, the multiplication by the output's gradient among them.
std::int64_t flops_backward(Activation activation) {
  switch (activation) {
    case Activation::none: return 0;
    case Activation::relu: return 1;
    case Activation::relu6: return 2;
    case Activation::sigmoid: return 3;      // y (1 - y)
    case Activation::tanh: return 3;         // 1 - y^2
    case Activation::silu: return 9;         // sigmoid, s (1 + x (1 - s))
    case Activation::hardsigmoid: return 3;  // two comparisons, scale
    case Activation::hardswish: return 5;    // two comparisons, slope and its shift
    case Activation::gelu: return 11;        // cdf 4, density 4, sum 2
  }
  return 0;
}

}  // namespace

void Backward::differentiate(const ActivationOp& op) {
  if (op.activation == Activation::none) return;
  one_operand(flops_backward(op.activation), written_, written_);  // output or input
  // Those of a sigmoid and a tanh are products of what they wrote.
  const bool of_output = op.activation == Activation::sigmoid || op.activation == Activation::tanh;
  if (of_output && !rows_.empty()) rows_.back().kind = Kind::elementwise;
}

void Backward::differentiate(const ElementOp& op) {
  const bool reduces = element_cost(op.type).kind == ElementCost::Kind::reduce;
  const bool copies = element_cost(op.type).kind == ElementCost::Kind::copy;
  for (std::size_t k = 0; k < node_.inputs.size(); ++k) {
    if (!needs(k) || shares_gradient(graph_, index_, k)) continue;
    const ElementBackward backward = element_backward(op.type, k);
    Work w = start_operand(k);
    for (std::size_t j = 0; j < node_.inputs.size(); ++j) {
      if (j == k ? backward.self : backward.others) read(w, operand(j));
    }
    std::int64_t more = backward.output ? written_ : 0;
    if (backward.kept_bytes > 0) more = checked_add(more, kept_, what());
    w.activations_read = checked_add(w.activations_read, more, what());
    if (!copies) w.kind = backward.transcendental ? Kind::transcendental : Kind::elementwise;
    add_flops(w, backward.flops, reduces ? count(operand(k)) : written_);
    if (!reduces && !copies && count(operand(k)) < written_) {  // sum what was broadcast
      if (w.flops == 0) w.kind = Kind::reduce;
      add_flops(w, 1, written_);
    }
    rows_.push_back(w);
  }
}

std::vector<Work> backward_of(const Graph& graph, int node, const GradientFlow& flow,
                              bool recompute_attention) {
  if (!flow.reaches(node)) return {};
  return Backward(graph, node, flow, recompute_attention).rows();
}

void count_in_training(Work& w, const Graph& graph, int index, const Kept& kept) {
  const Node& node = graph.node(index);
  const char* what = node.name.c_str();
  w.elements_written = checked_add(w.elements_written, elements_of(kept.bytes, node.dtype), what);
  if (std::holds_alternative<BatchNormOp>(node.op)) {  // mean, variance, subtract, divide
    w.flops = checked_add(w.flops, checked_mul(5, element_count(node.shape), what), what);
  }
}

}  // namespace alphaflops
