// One row a launch: what of a graph's nodes a device runs together.
#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "alphaflops/error.hpp"
#include "alphaflops/work.hpp"
#include "lowering.hpp"

namespace alphaflops {
namespace {

constexpr std::array<std::string_view, 7> element_activations{
    "clip", "elu", "gelu_tanh", "leaky_relu", "mish", "selu", "softplus"};

/// Whether it maps every element by itself, as activations do, be it one of those with kernels.
bool is_activation(const Node& node) {
  if (std::holds_alternative<ActivationOp>(node.op)) return true;
  const auto* element = std::get_if<ElementOp>(&node.op);
  return element != nullptr && node.inputs.size() == 1 &&
         std::ranges::find(element_activations, element->type) != element_activations.end();
}

/// Whether the epilogue of a product has it even where that has few.
bool is_relu(const Node& node) {
  const auto* op = std::get_if<ActivationOp>(&node.op);
  return op != nullptr &&
         (op->activation == Activation::relu || op->activation == Activation::relu6);
}

bool is_folded_into_conv(const Node& node) {
  return std::holds_alternative<BatchNormOp>(node.op) || is_activation(node);
}

bool has_bias(const Node& node) {
  if (const auto* conv = std::get_if<Conv2dOp>(&node.op)) return conv->bias;
  if (const auto* conv = std::get_if<ConvNdOp>(&node.op)) return conv->bias;
  if (const auto* linear = std::get_if<LinearOp>(&node.op)) return linear->bias;
  return false;
}

/// Whether `next` can run in the launch that `lead` starts, given what is folded already.
bool can_fold(const Node& lead, const Node& next, Mode mode, bool has_activation, bool norms_fold) {
  if (has_activation || !is_folded_into_conv(next)) return false;
  const bool convolves =
      std::holds_alternative<Conv2dOp>(lead.op) || std::holds_alternative<ConvNdOp>(lead.op);
  const bool multiplies = convolves || std::holds_alternative<LinearOp>(lead.op);
  // The norm is over axis 1, which is a linear layer's output only where it has two axes.
  if (std::holds_alternative<BatchNormOp>(next.op)) {
    if (!norms_fold) return false;
    return convolves || (multiplies && lead.shape.size() == 2);
  }
  if (multiplies && mode == Mode::fused_relu) return is_relu(next);
  return multiplies || std::holds_alternative<AddOp>(lead.op) ||
         std::holds_alternative<BatchNormOp>(lead.op);
}

}  // namespace

WorkTable forward_rows(const Graph& graph, Mode mode, bool norms_fold) {
  const std::vector<Node>& nodes = graph.nodes();
  const std::vector<std::vector<int>> consumers = graph.consumers();
  std::vector<bool> done(nodes.size(), false);
  WorkTable table;
  table.reserve(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& lead = nodes[i];
    if (done[i] || is_free(lead.op)) continue;
    Work w = work_of(graph, static_cast<int>(i));
    std::vector<int> folded;
    if (mode != Mode::eager) {
      bool has_activation = false;
      bool biased = has_bias(lead);
      for (int last = static_cast<int>(i);;) {
        const std::vector<int>& next = consumers[static_cast<std::size_t>(last)];
        if (next.size() != 1) break;
        const Node& follower = nodes[static_cast<std::size_t>(next[0])];
        if (!can_fold(lead, follower, mode, has_activation, norms_fold)) break;
        has_activation = is_activation(follower);
        const Work extra = work_of(graph, next[0]);
        w.params = checked_add(w.params, extra.params, follower.name.c_str());
        if (has_activation) {
          w.flops = checked_add(w.flops, extra.flops, follower.name.c_str());
        } else if (!biased) {
          // A folded norm scales the weights beforehand; what is left of it is a bias.
          biased = w.biased = true;
          w.flops = checked_add(w.flops, w.elements_written, follower.name.c_str());
          w.weights_read = checked_add(w.weights_read, w.c_out, follower.name.c_str());
        }
        last = next[0];
        folded.push_back(last);
        done[static_cast<std::size_t>(last)] = true;
      }
    }
    table.append(w, static_cast<int>(i), std::move(folded));
  }
  return table;
}

void append_calls(WorkTable& table, const Graph& graph, Mode mode, std::int64_t times) {
  if (mode != Mode::eager || graph.calls() == 0) return;
  table.append({.kind = Kind::call,
                .dtype = graph.dtype(),
                .spatial = checked_mul(graph.calls(), times, "calls"),
                .op = op_code("call")});
}

WorkTable lower(const Graph& graph, Mode mode) {
  WorkTable table = forward_rows(graph, mode, true);
  append_calls(table, graph, mode, 1);
  return table;
}

}  // namespace alphaflops
