#include "alphaflops/executor.hpp"

#include <algorithm>
#include <string>

#include "alphaflops/error.hpp"
#include "arena.hpp"
#include "clock.hpp"
#include "executor_step.hpp"
#include "lowering.hpp"
#include "memory.hpp"
#include "parameters.hpp"

namespace alphaflops {
namespace {

/// The node whose memory a tensor is: its own, or, for a view, that of what it looks at.
int storage_of(const Graph& graph, int node) {
  while (std::holds_alternative<FlattenOp>(graph.node(node).op)) node = graph.node(node).inputs[0];
  return node;
}

void require_supported(const Graph& graph) {
  const std::vector<Node>& nodes = graph.nodes();
  if (nodes.empty()) {
    throw UnsupportedError("graph '" + graph.name() + "' has no layers; there is nothing to run");
  }
  for (const Node& node : nodes) {
    const auto* concat = std::get_if<ConcatOp>(&node.op);
    const auto* element = std::get_if<ElementOp>(&node.op);
    if (std::holds_alternative<ConstantOp>(node.op) || std::holds_alternative<PartOp>(node.op) ||
        (element != nullptr && element->type != "fill") ||
        (concat != nullptr && concat->axis != 1)) {
      throw UnsupportedError(node.name + ": operator '" + std::string(op_name(node.op)) +
                             "' has no native kernel; the network cannot be run here");
    }
  }
  for (const Node& node : nodes) {
    if (node.inputs.empty() || node.dtype == DType::fp32) continue;
    throw UnsupportedError(node.name + ": dtype " + std::string(to_string(node.dtype)) +
                           " has no native kernel; use fp32");
  }
}

}  // namespace

struct Executor::Plan {
  // A step and where its data is.
  struct Bound {
    ExecutorStep step;
    std::vector<const float*> inputs;
    const float* weights = nullptr;
    const float* shift = nullptr;
    float* output = nullptr;
  };

  Plan(const Graph& network, Mode mode, Isa wanted, std::uint64_t random_seed)
      : graph(network), work(forward_rows(network, mode, true)), isa(wanted), seed(random_seed) {
    require_supported(graph);
    const std::vector<std::int64_t> pixels = flattened_pixels(graph);
    steps.reserve(work.size());
    for (std::size_t row = 0; row < work.size(); ++row) {
      steps.push_back({.step = ExecutorStep(graph, work, row, isa), .inputs = {}});
    }
    place_activations();
    place_parameters(pixels);
  }

  void place_activations();
  void place_parameters(const std::vector<std::int64_t>& pixels);

  void run(const Bound& bound) const {
    bound.step.run({.inputs = bound.inputs,
                    .weights = bound.weights,
                    .shift = bound.shift,
                    .output = bound.output,
                    .workspace = workspace.data()});
  }

  Graph graph;
  WorkTable work;
  Isa isa;
  std::uint64_t seed;
  std::vector<Bound> steps;
  Memory parameters, activations, workspace;
  std::vector<std::span<float>> graph_inputs;
  std::span<const float> graph_output;
};

void Executor::Plan::place_activations() {
  const std::size_t count = graph.nodes().size();
  const int end = static_cast<int>(steps.size());
  std::vector<Lifetime> lifetimes(count);  // by node; those inside a row keep no memory
  const auto storage = [&](int node) { return static_cast<std::size_t>(storage_of(graph, node)); };
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::holds_alternative<Input>(graph.nodes()[i].op)) continue;
    lifetimes[i] = {.floats = element_count(graph.nodes()[i].shape), .first = -1, .last = end};
  }
  for (int s = 0; s < end; ++s) {
    const ExecutorStep& step = steps[static_cast<std::size_t>(s)].step;
    const auto out = static_cast<std::size_t>(step.output());
    lifetimes[out] = {.floats = element_count(graph.nodes()[out].shape), .first = s, .last = s};
    for (const int x : step.inputs()) {
      Lifetime& read = lifetimes[storage(x)];
      read.last = std::max(read.last, s);
    }
  }
  const int last = static_cast<int>(count) - 1;
  lifetimes[storage(last)].last = end;

  const ArenaPlan plan = plan_arena(lifetimes);
  activations = Memory(plan.floats, "activations");
  const auto tensor = [&](int node) {
    return std::span<float>(activations.data() + plan.offsets[storage(node)],
                            static_cast<std::size_t>(element_count(graph.node(node).shape)));
  };
  fill_uniform({activations.data(), static_cast<std::size_t>(activations.size())}, 1.0F, seed);
  std::int64_t scratch = 0;
  for (Bound& bound : steps) {
    for (const int x : bound.step.inputs()) bound.inputs.push_back(tensor(x).data());
    bound.output = tensor(bound.step.output()).data();
    scratch = std::max(scratch, bound.step.workspace_floats());
  }
  workspace = Memory(scratch, "workspace");
  for (std::size_t i = 0; i < count; ++i) {
    if (lifetimes[i].first >= 0) continue;
    graph_inputs.push_back(tensor(static_cast<int>(i)));
    fill_uniform(graph_inputs.back(), 1.0F, seed + graph_inputs.size());  // wherever it lies
  }
  graph_output = tensor(last);
}

void Executor::Plan::place_parameters(const std::vector<std::int64_t>& pixels) {
  std::int64_t total = 0;
  for (const Bound& bound : steps) {
    total += round_up_to_line(bound.step.weight_floats());
    total += round_up_to_line(bound.step.shift_floats());
  }
  parameters = Memory(total, "weights");
  float* next = parameters.data();
  for (std::size_t row = 0; row < steps.size(); ++row) {
    Bound& bound = steps[row];
    if (bound.step.weight_floats() == 0) continue;
    const int input = bound.step.inputs()[0];
    const RowParameters values = row_parameters(graph, work.node[row], work.folded[row],
                                                pixels[static_cast<std::size_t>(input)], seed);
    if (const Conv2d* conv = bound.step.conv()) {
      conv->pack(values.weights.data(), next);
    } else {
      std::copy(values.weights.begin(), values.weights.end(), next);
    }
    bound.weights = next;
    next += round_up_to_line(bound.step.weight_floats());
    if (bound.step.shift_floats() == 0) continue;
    std::copy(values.shift.begin(), values.shift.end(), next);
    bound.shift = next;
    next += round_up_to_line(bound.step.shift_floats());
  }
}

Executor::Executor(const Graph& graph, Mode mode, Isa isa, std::uint64_t seed)
    : plan_(std::make_unique<Plan>(graph, mode, isa, seed)) {}
Executor::~Executor() = default;
Executor::Executor(Executor&&) noexcept = default;
Executor& Executor::operator=(Executor&&) noexcept = default;

const WorkTable& Executor::work() const { return plan_->work; }

Isa Executor::isa() const { return plan_->isa; }

std::int64_t Executor::memory_bytes() const {
  return static_cast<std::int64_t>(sizeof(float)) *
         (plan_->parameters.size() + plan_->activations.size() + plan_->workspace.size());
}

void Executor::run() {
  for (const Plan::Bound& bound : plan_->steps) plan_->run(bound);
}

void Executor::run_timed(std::span<double> row_times_s) {
  if (row_times_s.size() != plan_->steps.size()) {
    throw ShapeError("row_times_s has " + std::to_string(row_times_s.size()) +
                     " elements; the network has " + std::to_string(plan_->steps.size()) + " rows");
  }
  Clock::time_point before = Clock::now();
  for (std::size_t row = 0; row < row_times_s.size(); ++row) {
    plan_->run(plan_->steps[row]);
    const Clock::time_point after = Clock::now();
    row_times_s[row] = seconds(after - before);
    before = after;
  }
}

std::span<float> Executor::input(std::size_t index) {
  if (index >= plan_->graph_inputs.size()) {
    throw ShapeError("input " + std::to_string(index) + " is not in graph '" + plan_->graph.name() +
                     "', which has " + std::to_string(plan_->graph_inputs.size()) + " inputs");
  }
  return plan_->graph_inputs[index];
}

std::span<const float> Executor::output() const { return plan_->graph_output; }

std::vector<float> Executor::weights(int node) const {
  return node_weights(plan_->graph, node, plan_->seed);
}

std::vector<float> Executor::shift(int node) const {
  return node_shift(plan_->graph, node, plan_->seed);
}

}  // namespace alphaflops
