#include "alphaflops/training.hpp"

#include <array>
#include <utility>

#include "alphaflops/error.hpp"
#include "backward.hpp"
#include "gradient_flow.hpp"
#include "lowering.hpp"
#include "product.hpp"

namespace alphaflops {
namespace {

struct NamedOptimizer {
  std::string_view name;
  OptimizerCost cost;
};

constexpr std::array<NamedOptimizer, 5> optimizers{{
    {"none", {0, 0}},
    {"sgd", {2, 0}},       // p -= rate g
    {"momentum", {4, 1}},  // v = mu v + g; p -= rate v
    {"adam", {13, 2}},     // m 3, v 4, root, correct, epsilon, divide, scale, subtract
    {"adamw", {14, 2}},    // and p scaled by 1 - rate decay
}};

/// Gradients that come together at a tensor are added one by one.
Work addition(DType dtype, std::int64_t elements, Pass pass, const char* what) {
  Work w;
  w.kind = Kind::elementwise;
  w.op = op_code("add");
  w.pass = pass;
  w.dtype = dtype;
  w.c_in = w.c_out = w.elements_written = w.flops = elements;
  w.activations_read = checked_mul(2, elements, what);
  return w;
}

Work update(const Graph& graph, int node, OptimizerCost cost) {
  const char* what = graph.node(node).name.c_str();
  const std::int64_t parameters = parameters_of(graph, node);
  Work w;
  w.kind = Kind::elementwise;
  w.pass = Pass::optimizer;
  w.dtype = graph.node(node).dtype;
  w.c_in = w.c_out = w.weights_read = parameters;
  w.activations_read = checked_mul(1 + cost.states, parameters, what);  // gradient and states
  w.elements_written = checked_mul(1 + cost.states, parameters, what);
  w.flops = checked_mul(cost.flops, parameters, what);
  return w;
}

class TrainingStep {
 public:
  TrainingStep(const Graph& graph, Mode mode, const Training& training)
      : graph_(graph),
        training_(training),
        flow_(graph, training),
        forward_(forward_rows(graph, mode, false)),
        has_gradient_(graph.nodes().size()) {
    for (std::size_t row = 0; row < forward_.size(); ++row) {
      const int lead = forward_.node[row];
      Work w = forward_.row(row);
      count_in_training(w, graph, lead, kept(lead));
      for (const int node : forward_.folded[row]) count_in_training(w, graph, node, kept(node));
      runs_.push_back(w);
    }
  }

  WorkTable table() && {
    for (std::int64_t i = 0; i < training_.accumulate; ++i) {
      run_forward(i == 0);
      run_backward(i == 0);
    }
    run_optimizer();
    return std::move(table_);
  }

 private:
  Kept kept(int node) const { return kept_of(graph_, node, flow_, training_.recompute_attention); }
  int segment_of(int node) const { return prefix_of(graph_.node(node).name, training_.checkpoint); }
  void run(std::size_t row, bool is_first) {
    Work w = runs_[row];
    if (!is_first) w.params = 0;
    table_.append(w, forward_.node[row], forward_.folded[row]);
  }

  void run_forward(bool is_first) {
    for (std::size_t row = 0; row < runs_.size(); ++row) run(row, is_first);
  }

  void run_backward(bool is_first) {
    std::vector<int> arrived(graph_.nodes().size());  // gradients of each tensor
    std::vector<bool> ran_again(training_.checkpoint.size());
    for (int i = static_cast<int>(arrived.size()) - 1; i >= 0; --i) {
      if (!flow_.reaches(i)) continue;
      const int segment = segment_of(i);
      if (segment >= 0 && !ran_again[static_cast<std::size_t>(segment)]) {
        ran_again[static_cast<std::size_t>(segment)] = true;
        for (std::size_t row = 0; row < runs_.size(); ++row) {
          if (segment_of(forward_.node[row]) == segment) run(row, false);
        }
      }
      const Node& node = graph_.node(i);
      const bool constant = std::holds_alternative<ConstantOp>(node.op);
      const std::int64_t elements = element_count(node.shape);
      const Pass pass = constant ? Pass::weight_gradient : Pass::input_gradient;
      if (constant && !is_first) ++arrived[static_cast<std::size_t>(i)];
      for (int more = 1; more < arrived[static_cast<std::size_t>(i)]; ++more) {
        table_.append(addition(node.dtype, elements, pass, node.name.c_str()), i);
      }
      for (const Work& w : backward_of(graph_, i, flow_, training_.recompute_attention)) {
        table_.append(w, i);
      }
      for (std::size_t k = 0; k < node.inputs.size(); ++k) {
        if (flow_.reaches_operand(i, k)) ++arrived[static_cast<std::size_t>(node.inputs[k])];
      }
      if (const int weights = flow_.computed_weights(i); weights >= 0) {
        ++arrived[static_cast<std::size_t>(weights)];
        continue;
      }
      if (flow_.trains(i) && !constant) add_to_earlier(i);
      if (flow_.trains(i)) has_gradient_[static_cast<std::size_t>(owner_of(graph_, i))] = true;
    }
  }

  /// Where parameters are shared, and after the first micro-batch.
  void add_to_earlier(int node) {
    if (!has_gradient_[static_cast<std::size_t>(owner_of(graph_, node))]) return;
    table_.append(addition(graph_.node(node).dtype, parameters_of(graph_, node),
                           Pass::weight_gradient, graph_.node(node).name.c_str()),
                  node);
  }

  void run_optimizer() {
    if (training_.optimizer == Optimizer::none) return;
    const OptimizerCost cost = cost_of(training_.optimizer);
    for (int i = 0; i < static_cast<int>(has_gradient_.size()); ++i) {
      if (has_gradient_[static_cast<std::size_t>(i)]) {
        table_.append(update(graph_, i, cost), i);
      }
    }
  }

  const Graph& graph_;
  const Training& training_;
  GradientFlow flow_;
  WorkTable forward_;
  std::vector<Work> runs_;  // the forward rows as training runs them
  std::vector<bool> has_gradient_;
  WorkTable table_;
};

}  // namespace

std::string_view to_string(Optimizer optimizer) {
  return optimizers[static_cast<std::size_t>(optimizer)].name;
}

Optimizer parse_optimizer(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < optimizers.size(); ++i) {
    if (optimizers[i].name == name) return static_cast<Optimizer>(i);
    known += (known.empty() ? "" : ", ") + std::string(optimizers[i].name);
  }
  throw UnsupportedError("optimizer '" + std::string(name) + "' is not known; use one of " + known);
}

OptimizerCost cost_of(Optimizer optimizer) {
  return optimizers[static_cast<std::size_t>(optimizer)].cost;
}

WorkTable lower(const Graph& graph, Mode mode, const Training& training) {
  WorkTable table = TrainingStep(graph, mode, training).table();
  append_calls(table, graph, mode, training.accumulate);
  return table;
}

}  // namespace alphaflops
