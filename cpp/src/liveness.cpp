#include "alphaflops/liveness.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"
#include "backward.hpp"
#include "blocks.hpp"
#include "count.hpp"
#include "gradient_flow.hpp"
#include "lowering.hpp"
#include "product.hpp"
#include "tensor_bytes.hpp"

namespace alphaflops {
namespace {

constexpr int nothing = -1;

/// Runs a graph on paper. Without a training step nothing is kept and nothing runs back.
class Run {
 public:
  Run(const Graph& graph, Mode mode, const Training* training)
      : graph_(graph),
        nodes_(graph.nodes().size()),
        training_(training),
        consumers_(graph.consumers()),
        tensor_(nodes_, nothing),
        gradient_(nodes_, nothing),
        pending_(nodes_, nothing),
        uses_(nodes_),
        holders_(nodes_),
        has_gradient_(nodes_),
        hidden_(nodes_),
        ends_(nodes_),
        kept_(nodes_) {
    if (training != nullptr) {
      flow_.emplace(graph, *training);
      for (int i = 0; i < static_cast<int>(nodes_); ++i) {
        kept_[at(i)] = kept_of(graph, i, *flow_, training->recompute_attention);
      }
      comes_back_.resize(training->checkpoint.size());
      for (int i = 0; i < static_cast<int>(nodes_); ++i) {
        if (segment_of(i) != nothing && flow_->reaches(i)) comes_back_[at(segment_of(i))] = true;
      }
    }
    hide_folded(forward_rows(graph, mode, training == nullptr));
    count_parameters();
  }

  void end_with_last_reader(int input) { ends_[at(input)] = true; }

  PeakMemory peak() && {
    for (int i = 0; i < static_cast<int>(nodes_); ++i) forward(i, false);
    if (training_ != nullptr) run_back();
    return peak_;
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  std::int64_t element_bytes(int i) const { return size_of(graph_.node(i).dtype); }

  std::int64_t tensor_bytes(int i) const {
    return alphaflops::tensor_bytes(graph_, i, consumers_[at(i)]);
  }
  std::int64_t gradient_bytes(int i) const {
    return checked_mul(element_bytes(i), element_count(graph_.node(i).shape),
                       graph_.node(i).name.c_str());
  }
  std::int64_t parameter_bytes(int i) const {
    return checked_mul(element_bytes(i), parameters_of(graph_, i), graph_.node(i).name.c_str());
  }
  /// The checkpointed group of layers that it is in.
  int segment_of(int i) const {
    const Node& node = graph_.node(i);
    return training_ == nullptr || node.inputs.empty()
               ? nothing
               : prefix_of(node.name, training_->checkpoint);
  }

  /// Tensors inside of a launch are never in memory, but for those that are kept.
  void hide_folded(const WorkTable& rows) {
    for (std::size_t row = 0; row < rows.size(); ++row) {
      int last = rows.node[row];
      for (const int next : rows.folded[row]) {
        hidden_[at(last)] = true;
        last = next;
      }
    }
    for (const Kept& kept : kept_) {
      for (const int x : kept.tensors) hidden_[at(x)] = false;
    }
  }

  void count_parameters() {
    for (int i = 0; i < static_cast<int>(nodes_); ++i) {
      const Node& node = graph_.node(i);
      if (owner_of(graph_, i) != i) continue;
      const bool constant = std::holds_alternative<ConstantOp>(node.op);
      const std::int64_t bytes = parameter_bytes(i);
      now_.parameters = checked_add(now_.parameters, bytes, "parameters");
      if (constant && bytes == 0) {
        now_.constants = checked_add(now_.constants, tensor_bytes(i), "constants");
      }
      if (std::holds_alternative<BatchNormOp>(node.op)) {
        const std::int64_t statistics =
            product(node.name.c_str(), 2, node.shape[1], statistic_bytes);
        now_.constants = checked_add(now_.constants, statistics, "constants");
      }
    }
    if (training_ == nullptr) return;
    const std::int64_t states = cost_of(training_->optimizer).states;
    std::vector<bool> counted(nodes_);
    for (int i = 0; i < static_cast<int>(nodes_); ++i) {
      const int owner = owner_of(graph_, i);
      if (!flow_->trains(i) || flow_->computed_weights(i) >= 0) continue;
      if (!std::holds_alternative<ConstantOp>(graph_.node(i).op)) ++uses_[at(owner)];
      if (counted[at(owner)]) continue;
      counted[at(owner)] = true;
      const std::int64_t bytes = parameter_bytes(owner);
      now_.optimizer_state =
          checked_add(now_.optimizer_state, checked_mul(states, bytes, "states"), "states");
      // Earlier micro-batches have left theirs.
      if (training_->accumulate > 1) {
        now_.gradients = checked_add(now_.gradients, bytes, "gradients");
        has_gradient_[at(owner)] = true;
      }
    }
  }

  void look(int node, Pass pass, std::int64_t scratch = 0) {
    now_.activations = checked_add(blocks_.live(), scratch, "bytes alive together");
    if (peak_.node >= 0 && now_.total() <= peak_.total()) return;
    peak_ = now_;
    peak_.node = node;
    peak_.pass = pass;
  }

  void drop(int& block) {
    if (block != nothing) blocks_.release(block);
    block = nothing;
  }

  /// A checkpointed node keeps nothing before it runs again.
  void forward(int i, bool again) {
    const Node& node = graph_.node(i);
    const bool view =
        std::holds_alternative<FlattenOp>(node.op) || std::holds_alternative<PartOp>(node.op);
    const bool constant = std::holds_alternative<ConstantOp>(node.op);
    if (view) {
      tensor_[at(i)] = blocks_.hold(tensor_[at(node.inputs[0])]);
    } else {
      tensor_[at(i)] = blocks_.allocate(constant || hidden_[at(i)] ? 0 : tensor_bytes(i));
    }
    const Kept& kept = kept_[at(i)];
    const int segment = segment_of(i);
    const bool keeps = training_ != nullptr && (segment == nothing || again);
    std::int64_t scratch = forward_scratch(graph_, i, training_ != nullptr);
    if (keeps) {
      for (const int x : kept.tensors) holders_[at(i)].push_back(blocks_.hold(tensor_[at(x)]));
      holders_[at(i)].push_back(blocks_.allocate(kept.bytes));
      scratch = std::max<std::int64_t>(0, scratch - kept.bytes);
    } else {
      scratch = std::max(scratch, kept.bytes);
      if (segment != nothing && comes_back_[at(segment)]) {
        keep_operands_from_outside(node, segment);
      }
    }
    if (!is_free(node.op) || std::holds_alternative<Input>(node.op)) {
      look(i, Pass::forward, scratch);
    }
    if (!again) free_after(i);
  }

  void keep_operands_from_outside(const Node& node, int segment) {
    for (const int x : node.inputs) {
      if (segment_of(x) != segment) {
        outside_.push_back({segment, x, blocks_.hold(tensor_[at(x)])});
      }
    }
  }

  /// Lets go of the operands that no later node reads; inputs and results stay.
  void free_after(int i) {
    for (const int x : graph_.node(i).inputs) {
      const bool is_last = consumers_[at(x)].back() == i;
      const bool stays = std::holds_alternative<Input>(graph_.node(x).op) && !ends_[at(x)];
      if (is_last && !stays) drop(tensor_[at(x)]);
    }
  }

  void run_back() {
    std::vector<bool> ran_again(training_->checkpoint.size());
    for (int i = static_cast<int>(nodes_) - 1; i >= 0; --i) {
      if (!flow_->reaches(i)) continue;
      if (consumers_[at(i)].empty() && gradient_[at(i)] == nothing) {
        gradient_[at(i)] = blocks_.allocate(gradient_bytes(i));
      }
      const int segment = segment_of(i);
      if (segment != nothing && !ran_again[at(segment)]) {
        ran_again[at(segment)] = true;
        run_again(segment);
      }
      back(i);
    }
  }

  /// The segment once more, from the operands that it kept; of its tensors only what backward
  /// needs stays behind.
  void run_again(int segment) {
    std::vector<std::pair<int, int>> before;  // tensors as they are outside
    std::vector<std::pair<int, int>> last;    // last reader inside, and the tensor
    for (Outside& o : outside_) {
      if (o.segment != segment) continue;
      before.emplace_back(o.tensor, tensor_[at(o.tensor)]);
      tensor_[at(o.tensor)] = o.block;
    }
    for (int i = 0; i < static_cast<int>(nodes_); ++i) {
      if (segment_of(i) != segment) continue;
      before.emplace_back(i, tensor_[at(i)]);
      forward(i, true);
      const auto inside = [&](int reader) { return segment_of(reader) == segment; };
      const auto& readers = consumers_[at(i)];
      const auto found = std::find_if(readers.rbegin(), readers.rend(), inside);
      last.emplace_back(found == readers.rend() ? i : *found, i);
      for (const auto& [reader, tensor] : last) {
        if (reader == i) blocks_.release(tensor_[at(tensor)]);
      }
    }
    for (auto it = before.rbegin(); it != before.rend(); ++it) tensor_[at(it->first)] = it->second;
    for (const Outside& o : outside_) {
      if (o.segment == segment) blocks_.release(o.block);
    }
    std::erase_if(outside_, [&](const Outside& o) { return o.segment == segment; });
  }

  void back(int i) {
    const Node& node = graph_.node(i);
    if (std::holds_alternative<ConstantOp>(node.op)) return add_parameter_gradient(i);
    std::vector<std::pair<int, int>> made;  // operands and their gradients
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      if (!flow_->reaches_operand(i, k)) continue;
      const bool shared = shares_gradient(graph_, i, k);
      const int x = node.inputs[k];
      made.emplace_back(
          x, shared ? blocks_.hold(gradient_[at(i)]) : blocks_.allocate(gradient_bytes(x)));
    }
    const int weights = flow_->computed_weights(i);
    if (weights >= 0) made.emplace_back(weights, blocks_.allocate(gradient_bytes(weights)));
    std::int64_t scratch = backward_scratch(graph_, i, *flow_, training_->recompute_attention);
    const int owner = owner_of(graph_, i);
    const bool trains = flow_->trains(i) && weights < 0;
    if (trains) {
      scratch = checked_add(scratch, train_parameters(owner, parameter_bytes(i)), "gradients");
    }
    if (!is_free(node.op)) look(i, Pass::input_gradient, scratch);
    drop(gradient_[at(i)]);
    for (int& block : holders_[at(i)]) drop(block);
    if (trains && uses_[at(owner)] == 0) drop(pending_[at(owner)]);
    for (const auto& [x, block] : made) arrive(x, block);
  }

  /// Where a gradient is there already, all uses of this backward pass are summed before they are
  /// added to it. Returns the bytes that only this use takes.
  std::int64_t train_parameters(int owner, std::int64_t bytes) {
    --uses_[at(owner)];
    if (!has_gradient_[at(owner)]) {
      now_.gradients = checked_add(now_.gradients, bytes, "gradients");
      has_gradient_[at(owner)] = true;
      return 0;
    }
    if (training_->accumulate == 1 || pending_[at(owner)] != nothing) return bytes;
    pending_[at(owner)] = blocks_.allocate(bytes);
    return 0;
  }

  /// A first gradient is taken as it is, another one added to it.
  void arrive(int x, int block) {
    int& gradient = gradient_[at(x)];
    if (gradient == nothing) {
      gradient = block;
      return;
    }
    const std::int64_t sum = gradient_bytes(x);
    const bool in_place = blocks_.has_one_holder(gradient) && blocks_.bytes(gradient) == sum;
    look(x, Pass::input_gradient, in_place ? 0 : sum);
    if (!in_place) {
      const int fresh = blocks_.allocate(sum);
      drop(gradient);
      gradient = fresh;
    }
    blocks_.release(block);
  }

  void add_parameter_gradient(int i) {
    if (!has_gradient_[at(i)]) {
      now_.gradients = checked_add(now_.gradients, parameter_bytes(i), "gradients");
      has_gradient_[at(i)] = true;
    }
    drop(gradient_[at(i)]);
    drop(pending_[at(i)]);
    look(i, Pass::weight_gradient);
  }

  struct Outside {
    int segment, tensor, block;
  };

  const Graph& graph_;
  std::size_t nodes_;
  const Training* training_;
  std::optional<GradientFlow> flow_;
  std::vector<std::vector<int>> consumers_;
  std::vector<int> tensor_;    // block of each tensor, as the program holds it
  std::vector<int> gradient_;  // block of each tensor's gradient
  std::vector<int> pending_;   // block of a gradient that waits for other uses of the parameters
  std::vector<int> uses_;      // of parameters, that this backward pass has yet to come to
  std::vector<std::vector<int>> holders_;  // blocks that each node keeps
  std::vector<bool> has_gradient_;         // of its parameters
  std::vector<bool> hidden_;
  std::vector<bool> ends_;        // inputs that do not stay
  std::vector<bool> comes_back_;  // checkpointed groups that have gradients
  std::vector<Kept> kept_;
  std::vector<Outside> outside_;
  Blocks blocks_;
  PeakMemory now_, peak_;
};

}  // namespace

std::int64_t PeakMemory::total() const {
  std::int64_t sum = 0;
  for (const std::int64_t part : {parameters, constants, gradients, optimizer_state, activations}) {
    sum = checked_add(sum, part, "bytes alive together");
  }
  return sum;
}

PeakMemory peak_memory(const Graph& graph, Mode mode, const std::optional<Training>& training) {
  return Run(graph, mode, training ? &*training : nullptr).peak();
}

PeakMemory peak_memory_of_part(const Graph& graph, Mode mode, const std::vector<int>& ends) {
  Run run(graph, mode, nullptr);
  for (const int input : ends) run.end_with_last_reader(input);
  return std::move(run).peak();
}

}  // namespace alphaflops
