#include "tensor_bytes.hpp"

#include <algorithm>
#include <string_view>

#include "alphaflops/error.hpp"
#include "backward.hpp"
#include "element_backward.hpp"

namespace alphaflops {
namespace {

constexpr std::int64_t index_bytes = 8;
constexpr std::int64_t statistic_bytes = 4;

/// Whether the gradient of a smaller operand is computed at the output's size and then summed. That
/// of a sum is the output's own, so that only the result is new.
bool is_summed_apart(const Node& node, std::size_t operand) {
  if (std::holds_alternative<MulOp>(node.op)) return true;
  const auto* element = std::get_if<ElementOp>(&node.op);
  return element != nullptr && element_cost(element->type).kind == ElementCost::Kind::elementwise &&
         element_backward(element->type, operand).pass == ElementBackward::Pass::computed;
}

}  // namespace

std::int64_t tensor_bytes(const Graph& graph, int index, const std::vector<int>& readers) {
  const Node& node = graph.node(index);
  std::int64_t each = size_of(graph.dtype());
  if (const auto* element = std::get_if<ElementOp>(&node.op)) {
    const std::string& type = element->type;
    if (type == "argmax") each = index_bytes;
    if (type == "compare" || type == "logical" || type == "quantize") each = 1;
  }
  const auto is_lookup = [&](int reader) {
    return std::holds_alternative<EmbeddingOp>(graph.node(reader).op);
  };
  if (std::holds_alternative<Input>(node.op) && !readers.empty() &&
      std::ranges::all_of(readers, is_lookup)) {
    each = index_bytes;
  }
  return checked_mul(each, element_count(node.shape), node.name.c_str());
}

std::int64_t forward_scratch(const Graph& graph, int index, bool in_training) {
  const Node& node = graph.node(index);
  const char* what = node.name.c_str();
  if (std::holds_alternative<AttentionOp>(node.op)) {
    const Shape& q = graph.node(node.inputs[0]).shape;
    return checked_mul(statistic_bytes, element_count({q.begin(), q.end() - 1}), what);
  }
  if (std::holds_alternative<BatchNormOp>(node.op)) {
    return in_training ? 2 * node.shape[1] * statistic_bytes : 0;
  }
  const std::string_view op = op_name(node.op);
  const bool is_max = op == "max_pool" || op == "adaptive_max_pool";
  return is_max ? checked_mul(index_bytes, element_count(node.shape), what) : 0;
}

std::int64_t backward_scratch(const Graph& graph, int index, const GradientFlow& flow,
                              bool recompute_attention) {
  const Node& node = graph.node(index);
  if (std::holds_alternative<AttentionOp>(node.op) && !recompute_attention) {
    return checked_mul(2, kept_of(graph, index, flow, false).bytes, node.name.c_str());
  }
  const std::int64_t written = element_count(node.shape);
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    if (is_summed_apart(node, k) && flow.reaches_operand(index, k) &&
        element_count(graph.node(node.inputs[k]).shape) < written) {
      return checked_mul(size_of(graph.dtype()), written, node.name.c_str());
    }
  }
  return 0;
}

}  // namespace alphaflops
