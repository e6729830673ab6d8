#include "gradient_flow.hpp"

#include <algorithm>

#include "alphaflops/error.hpp"
#include "count.hpp"
#include "element_backward.hpp"

namespace alphaflops {
namespace {

bool stands_for(const std::string& prefix, const std::string& name) {
  if (!name.starts_with(prefix)) return false;
  if (prefix.empty() || name.size() == prefix.size()) return true;
  const auto separates = [](char c) { return c == '.' || c == '/'; };
  return separates(prefix.back()) || separates(name[prefix.size()]);
}

void require_layers(const Graph& graph, const char* field,
                    const std::vector<std::string>& prefixes) {
  for (const std::string& prefix : prefixes) {
    const auto& nodes = graph.nodes();
    if (std::ranges::any_of(nodes, [&](const Node& n) { return stands_for(prefix, n.name); })) {
      continue;
    }
    throw UnsupportedError(graph.name() + ": " + field + " '" + prefix +
                           "' is no layer and no group of layers; give names as node_name has "
                           "them, whole or up to a '.' or '/'");
  }
}

/// Indices and steps have no gradient.
bool passes(const Node& node, std::size_t operand) {
  if (std::holds_alternative<EmbeddingOp>(node.op)) return false;
  const auto* element = std::get_if<ElementOp>(&node.op);
  return element == nullptr ||
         element_backward(element->type, operand).pass != ElementBackward::Pass::none;
}

}  // namespace

int prefix_of(const std::string& name, const std::vector<std::string>& prefixes) {
  for (std::size_t i = 0; i < prefixes.size(); ++i) {
    if (stands_for(prefixes[i], name)) return static_cast<int>(i);
  }
  return -1;
}

int owner_of(const Graph& graph, int node) {
  const int to = graph.node(node).tied_to;
  return to >= 0 ? to : node;
}

std::int64_t parameters_of(const Graph& graph, int node) {
  const Node& n = graph.node(node);
  if (const auto* constant = std::get_if<ConstantOp>(&n.op)) {
    return constant->trainable ? element_count(n.shape) : 0;
  }
  return is_free(n.op) ? 0 : own_work(graph, node).params;
}

bool shares_gradient(const Graph& graph, int index, std::size_t operand) {
  const Node& node = graph.node(index);
  const std::int64_t in = element_count(graph.node(node.inputs[operand]).shape);
  const bool same = in == element_count(node.shape);
  if (std::holds_alternative<FlattenOp>(node.op) || std::holds_alternative<AddOp>(node.op) ||
      std::holds_alternative<ConcatOp>(node.op)) {
    return true;
  }
  if (std::holds_alternative<PartOp>(node.op)) return same;
  const auto* activation = std::get_if<ActivationOp>(&node.op);
  if (activation != nullptr) return activation->activation == Activation::none;
  const auto* element = std::get_if<ElementOp>(&node.op);
  if (element == nullptr) return false;
  const bool view = element_backward(element->type, operand).pass == ElementBackward::Pass::view;
  // What was broadcast has to be summed.
  const bool broadcasts = element_cost(element->type).kind == ElementCost::Kind::elementwise;
  return view && (same || !broadcasts);
}

GradientFlow::GradientFlow(const Graph& graph, const Training& training)
    : graph_(graph), trained_(graph.nodes().size()), reached_(graph.nodes().size()) {
  if (training.accumulate < 1 || training.accumulate > most_micro_batches) {
    throw ShapeError("accumulate is " + std::to_string(training.accumulate) +
                     "; it must be at least 1 and at most " + std::to_string(most_micro_batches) +
                     ", as every micro-batch has rows of its own");
  }
  require_layers(graph, "frozen", training.frozen);
  require_layers(graph, "checkpoint", training.checkpoint);
  const int count = static_cast<int>(trained_.size());
  std::vector<bool> required(trained_.size());
  for (int i = 0; i < count; ++i) {
    const auto at = static_cast<std::size_t>(i);
    const int owner = owner_of(graph, i);
    const bool is_free_to_change = parameters_of(graph, owner) > 0
                                       ? prefix_of(graph.node(owner).name, training.frozen) < 0
                                       : required[static_cast<std::size_t>(owner)];
    trained_[at] = is_free_to_change && parameters_of(graph, i) > 0;
    required[at] = trained_[at];
    const Node& node = graph.node(i);
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      if (passes(node, k) && required[static_cast<std::size_t>(node.inputs[k])]) {
        required[at] = true;
      }
    }
  }
  const std::vector<std::vector<int>> consumers = graph.consumers();
  std::vector<bool> is_weights(trained_.size()), has_weights_way(trained_.size());
  for (int i = count - 1; i >= 0; --i) {
    const auto at = static_cast<std::size_t>(i);
    bool has_way = has_weights_way[at] || (consumers[at].empty() && !is_weights[at]);
    for (const int reader : consumers[at]) {
      const Node& node = graph.node(reader);
      for (std::size_t k = 0; k < node.inputs.size() && reaches(reader); ++k) {
        has_way = has_way || (node.inputs[k] == i && passes(node, k));
      }
    }
    reached_[at] = required[at] && has_way;
    if (const int owner = owner_of(graph, i); owner != i && parameters_of(graph, owner) == 0) {
      is_weights[static_cast<std::size_t>(owner)] = true;
      if (trains(i)) has_weights_way[static_cast<std::size_t>(owner)] = true;
    }
  }
}

int GradientFlow::computed_weights(int node) const {
  const int owner = owner_of(graph_, node);
  return trains(node) && owner != node && parameters_of(graph_, owner) == 0 ? owner : -1;
}

bool GradientFlow::reaches_operand(int index, std::size_t operand) const {
  const Node& node = graph_.node(index);
  return reaches(index) && reaches(node.inputs[operand]) && passes(node, operand);
}

}  // namespace alphaflops
