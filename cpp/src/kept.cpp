// What PyTorch's autograd keeps of each operator; docs/training.md has the table.
#include <array>
#include <type_traits>
#include <variant>

#include "alphaflops/error.hpp"
#include "backward.hpp"
#include "count.hpp"
#include "element_backward.hpp"
#include "product.hpp"
#include "tensor_bytes.hpp"

namespace alphaflops {
namespace {

bool keeps_output(Activation activation) {
  return activation == Activation::relu || activation == Activation::sigmoid ||
         activation == Activation::tanh;
}

/// Means and deviations together.
std::int64_t statistics_of(const Node& node, const NormOp& op) {
  const Shape& shape = node.shape;
  const char* what = node.name.c_str();
  switch (op.kind) {
    case NormOp::Kind::layer:
      return checked_mul(2, element_count({shape.begin(), shape.end() - op.axes}), what);
    case NormOp::Kind::rms: return element_count({shape.begin(), shape.end() - op.axes});
    case NormOp::Kind::instance: return product(what, 2, shape[0], shape[1]);
    case NormOp::Kind::group:
      return checked_mul(2, shape[0], what);  // as of one group; a graph has no number of them
  }
  return 0;
}

/// Every gate, cell and output of every step.
std::int64_t states_of(const Node& node, const Shape& in, const RecurrentOp& op) {
  constexpr std::array<std::int64_t, 3> kept{1, 6, 5};
  return product(node.name.c_str(), in[0], in[1], op.bidirectional ? 2 : 1, op.layers, op.hidden,
                 kept[static_cast<std::size_t>(op.cell)]);
}

void keep_of_element(Kept& kept, const Graph& graph, int index, const ElementOp& op,
                     const GradientFlow& flow) {
  const Node& node = graph.node(index);
  std::vector<bool> operands(node.inputs.size());
  bool output = false;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    if (!flow.reaches_operand(index, k)) continue;
    const ElementBackward backward = element_backward(op.type, k);
    for (std::size_t j = 0; j < operands.size(); ++j) {
      if (j == k ? backward.self : backward.others) operands[j] = true;
    }
    output = output || backward.output;
    kept.bytes = checked_mul(backward.kept_bytes, element_count(node.shape), node.name.c_str());
  }
  for (std::size_t j = 0; j < operands.size(); ++j) {
    if (operands[j]) kept.tensors.push_back(node.inputs[j]);
  }
  if (output) kept.tensors.push_back(index);
}

}  // namespace

Kept kept_of(const Graph& graph, int index, const GradientFlow& flow, bool recompute_attention) {
  Kept kept;
  if (!flow.reaches(index)) return kept;
  const Node& node = graph.node(index);
  const char* what = node.name.c_str();
  const std::vector<int>& in = node.inputs;
  const auto count = [&](int x) { return element_count(graph.node(x).shape); };
  const auto keep_others = [&] {
    for (std::size_t k = 0; k < in.size(); ++k) {
      if (flow.reaches_operand(index, k)) kept.tensors.push_back(in[1 - k]);
    }
  };
  const auto keep_pool = [&](PoolOp::Kind kind) {
    kept.tensors = in;  // an average keeps it for its shape
    if (kind == PoolOp::Kind::max) kept.bytes = checked_mul(index_bytes, count(index), what);
  };
  std::visit(
      [&](const auto& op) {
        using T = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<T, Conv2dOp> || std::is_same_v<T, ConvNdOp> ||
                      std::is_same_v<T, CustomOp> || std::is_same_v<T, UnknownOp>) {
          kept.tensors = in;
        }
        if constexpr (std::is_same_v<T, EmbeddingOp>) kept.tensors = in;
        if constexpr (std::is_same_v<T, LinearOp>) {
          if (flow.trains(index)) kept.tensors = in;
        }
        if constexpr (std::is_same_v<T, MatmulOp> || std::is_same_v<T, MulOp>) keep_others();
        if constexpr (std::is_same_v<T, AttentionOp>) {
          kept.tensors = in;
          const Shape &q = graph.node(in[0]).shape, &k = graph.node(in[1]).shape;
          kept.bytes = recompute_attention
                           ? product(what, q[0], q[1], q[2], statistic_bytes)
                           : product(what, q[0], q[1], q[2], k[2], size_of(node.dtype));
          if (recompute_attention) kept.tensors.push_back(index);
        }
        if constexpr (std::is_same_v<T, RecurrentOp>) {
          kept.tensors = in;
          kept.bytes =
              checked_mul(states_of(node, graph.node(in[0]).shape, op), size_of(node.dtype), what);
        }
        if constexpr (std::is_same_v<T, BatchNormOp>) {
          kept.tensors = in;
          kept.bytes = product(what, 2, node.shape[1], statistic_bytes);
        }
        if constexpr (std::is_same_v<T, NormOp>) {
          kept.tensors = in;
          kept.bytes = checked_mul(statistics_of(node, op), statistic_bytes, what);
        }
        if constexpr (std::is_same_v<T, ActivationOp>) {
          if (op.activation != Activation::none) {
            kept.tensors = {keeps_output(op.activation) ? index : in[0]};
          }
        }
        if constexpr (std::is_same_v<T, PoolOp> || std::is_same_v<T, PoolNdOp> ||
                      std::is_same_v<T, AdaptivePoolOp>) {
          keep_pool(op.kind);
        }
        if constexpr (std::is_same_v<T, SoftmaxOp>) kept.tensors = {index};
        if constexpr (std::is_same_v<T, ElementOp>) keep_of_element(kept, graph, index, op, flow);
      },
      node.op);
  return kept;
}

}  // namespace alphaflops
