#include "tensor_bytes.hpp"

#include <algorithm>
#include <string_view>

#include "alphaflops/error.hpp"
#include "backward.hpp"
#include "element_backward.hpp"
#include "product.hpp"

namespace alphaflops {
namespace {

/// Whether the gradient of a smaller operand is computed at the output's size and then summed. That
/// of a sum is the output's own, so that only the result is new.
bool is_summed_apart(const Node& node, std::size_t operand) {
  if (std::holds_alternative<MulOp>(node.op)) return true;
  const auto* element = std::get_if<ElementOp>(&node.op);
  return element != nullptr && element_cost(element->type).kind == ElementCost::Kind::elementwise &&
         element_backward(element->type, operand).pass == ElementBackward::Pass::computed;
}

/// Bytes that the kernels of an element operator's gradients take beside their results.
std::int64_t between_kernels(const Graph& graph, int index, const ElementOp& op,
                             const GradientFlow& flow) {
  const Node& node = graph.node(index);
  const char* what = node.name.c_str();
  const std::vector<int>& in = node.inputs;
  const auto needs = [&](std::size_t k) { return k < in.size() && flow.reaches_operand(index, k); };
  const auto count = [&](std::size_t k) { return element_count(graph.node(in[k]).shape); };
  if (!needs(0) && !needs(1)) return 0;
  const Held held = held_for_gradients(op.type, in.size() == 2, needs(0), needs(1));
  const bool reduces = element_cost(op.type).kind == ElementCost::Kind::reduce;
  const std::int64_t each = size_of(node.dtype);
  std::int64_t bytes = checked_mul(held.tensors * each + held.masks,
                                   reduces ? count(0) : element_count(node.shape), what);
  for (std::size_t k = 0; k < std::min<std::size_t>(2, in.size()); ++k) {
    const std::int64_t of_operand = held.of_operand[k] * each + held.operand_masks[k];
    bytes = checked_add(bytes, checked_mul(of_operand, count(k), what), what);
    if (needs(k) && !shares_gradient(graph, index, k)) bytes -= checked_mul(each, count(k), what);
  }
  return std::max<std::int64_t>(0, bytes);
}

}  // namespace

std::int64_t tensor_bytes(const Graph& graph, int index, const std::vector<int>& readers) {
  const Node& node = graph.node(index);
  std::int64_t each = size_of(node.dtype);
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
    return in_training ? product(what, 2, node.shape[1], statistic_bytes) : 0;
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
  const auto* element = std::get_if<ElementOp>(&node.op);
  const std::int64_t between =
      element == nullptr ? 0 : between_kernels(graph, index, *element, flow);
  const std::int64_t written = element_count(node.shape);
  for (std::size_t k = 0; k < node.inputs.size(); ++k) {
    if (is_summed_apart(node, k) && flow.reaches_operand(index, k) &&
        element_count(graph.node(node.inputs[k]).shape) < written) {
      return std::max(between, checked_mul(size_of(node.dtype), written, node.name.c_str()));
    }
  }
  return between;
}

}  // namespace alphaflops
