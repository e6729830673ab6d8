// The same graph at another batch: which tensors have it on their leading axis, and all shapes
// anew.
#include <algorithm>
#include <string>
#include <type_traits>
#include <utility>

#include "alphaflops/graph.hpp"
#include "sizes.hpp"

namespace alphaflops {
namespace {

/// The node's shape at another batch, which is a factor of its leading size. Of what holds the same
/// elements in another order, such as queries, keys and values in one tensor, it may be another
/// axis.
Shape rebatched(const Node& node, std::int64_t from, std::int64_t to) {
  Shape shape = node.shape;
  if (shape.empty()) return shape;
  auto axis = shape.begin();
  if (*axis % from != 0 && (is_free(node.op) || std::holds_alternative<ElementOp>(node.op))) {
    axis = std::find(shape.begin(), shape.end(), from);
  }
  if (axis == shape.end() || *axis % from != 0) {
    throw ShapeError(node.name + ": the leading size of " + describe(shape) +
                     " is no multiple of the batch " + std::to_string(from) +
                     ", so the shape at another batch is not known; make the graph at that batch");
  }
  *axis = checked_mul(*axis / from, to, node.name.c_str());
  return shape;
}

/// Whether its shape was given, where other operators infer theirs.
bool is_shaped(const Operator& op) {
  return is_free(op) || std::holds_alternative<ElementOp>(op) ||
         std::holds_alternative<CustomOp>(op) || std::holds_alternative<UnknownOp>(op);
}

/// Whether operand k must have the batch where the node has it: it cannot broadcast.
bool is_aligned(const Node& node, std::size_t k) {
  if (std::holds_alternative<AttentionOp>(node.op)) return k < 3;
  if (std::holds_alternative<RecurrentOp>(node.op)) return true;
  const auto* concat = std::get_if<ConcatOp>(&node.op);
  return concat != nullptr && concat->axis != 0;
}

/// Finds what is repeated over the batch though no input reaches it, such as the class token of a
/// vision transformer.
class Batched {
 public:
  explicit Batched(const Graph& graph)
      : graph_(graph), from_(graph.batch()), batched_(graph.nodes().size()) {
    for (bool found = true; found;) {
      spread();
      found = false;
      for (std::size_t i = 0; i < batched_.size(); ++i) found = find_repetitions(i) || found;
    }
  }

  bool operator[](int tensor) const { return batched_[static_cast<std::size_t>(tensor)]; }

  /// Whether the operand has to be repeated, which a graph of batch 1 does not show.
  bool needs_repetition(const Node& node, std::size_t k) const {
    const int x = node.inputs[k];
    if (!is_aligned(node, k) || (*this)[x] || from_ != 1 || leading(x) != 1) return false;
    return is_constant(x);
  }

  /// Whether some operands have it and others have not.
  bool broadcasts(const Node& node) const {
    const auto has = [&](int x) { return (*this)[x]; };
    return std::ranges::any_of(node.inputs, has) && !std::ranges::all_of(node.inputs, has);
  }

  /// An operand whose batch is not known; -1 for none.
  int undecided(const Node& node) const {
    for (const int x : node.inputs) {
      if ((*this)[x]) continue;
      const bool same_axes = graph_.node(x).shape.size() == node.shape.size();
      if (std::holds_alternative<RecurrentOp>(node.op)) return x;
      if (leading(x) == from_ && same_axes) return x;
    }
    return -1;
  }

  /// Whether a node takes its undecided operand with the batch and without, at another cost.
  bool fits_either_way(const Node& node, int undecided) const {
    if (from_ == 1) return std::holds_alternative<MatmulOp>(node.op) && !is_constant(undecided);
    const auto* element = std::get_if<ElementOp>(&node.op);
    return element != nullptr && element_cost(element->type).kind == ElementCost::Kind::elementwise;
  }

 private:
  std::int64_t leading(int x) const {
    const Shape& shape = graph_.node(x).shape;
    return shape.empty() ? 0 : shape[0];
  }

  /// Whether it is a constant or a view of one, not what layers make of them.
  bool is_constant(int x) const {
    while (is_free(graph_.node(x).op) && !graph_.node(x).inputs.empty()) {
      x = graph_.node(x).inputs[0];
    }
    return std::holds_alternative<ConstantOp>(graph_.node(x).op);
  }

  /// What no input and no repetition reaches is the same at any batch.
  void spread() {
    for (std::size_t i = 0; i < batched_.size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (std::holds_alternative<Input>(node.op)) batched_[i] = true;
      for (const int x : node.inputs) batched_[i] = batched_[i] || (*this)[x];
    }
  }

  /// Behind the operands that meet the batch on the same axis. At a batch of 1 only those that
  /// cannot broadcast are known to.
  bool find_repetitions(std::size_t i) {
    const Node& node = graph_.nodes()[i];
    bool found = false;
    for (std::size_t k = 0; batched_[i] && k < node.inputs.size(); ++k) {
      const int x = node.inputs[k];
      const bool is_state = std::holds_alternative<RecurrentOp>(node.op);
      const bool same_axes = graph_.node(x).shape.size() == node.shape.size();
      const bool meets = from_ == 1 ? is_aligned(node, k) : same_axes || is_state;
      if (meets && leading(x) == from_) found = mark(x) || found;
    }
    return found;
  }

  bool mark(int x) {
    const Node& node = graph_.node(x);
    if ((*this)[x] || leading(x) % from_ != 0) return false;
    if (repeats(node)) return batched_[static_cast<std::size_t>(x)] = true;
    if (from_ == 1 && !is_free(node.op)) return false;
    bool found = false;
    for (const int operand : node.inputs) found = mark(operand) || found;
    return found;
  }

  bool repeats(const Node& node) const {
    const auto* element = std::get_if<ElementOp>(&node.op);
    if (element != nullptr) return element->type == "repeat";
    const auto* constant = std::get_if<ConstantOp>(&node.op);  // such as a mask
    if (constant != nullptr) return from_ > 1 && !constant->trainable;
    return from_ > 1 && std::holds_alternative<PartOp>(node.op) &&
           element_count(node.shape) > element_count(graph_.node(node.inputs[0]).shape);
  }

  const Graph& graph_;
  std::int64_t from_;
  std::vector<bool> batched_;
};

}  // namespace

/// The node again, behind the tensors of this graph; `shape` where no operator infers it.
int Graph::add_again(const Node& node, const Shape& shape) {
  const std::vector<int>& in = node.inputs;
  return std::visit(
      [&](const auto& op) {
        using T = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<T, Input>) return input(shape, node.name);
        if constexpr (std::is_same_v<T, ConstantOp>)
          return constant(shape, op.trainable, node.name);
        if constexpr (std::is_same_v<T, Conv2dOp>) return conv2d(in[0], op, node.name);
        if constexpr (std::is_same_v<T, ConvNdOp>) return conv_nd(in[0], op, node.name);
        if constexpr (std::is_same_v<T, LinearOp>) return linear(in[0], op, node.name);
        if constexpr (std::is_same_v<T, MatmulOp>) return matmul(in[0], in[1], node.name);
        if constexpr (std::is_same_v<T, AttentionOp>) return attention(in, op, node.name);
        if constexpr (std::is_same_v<T, RecurrentOp>)
          return recurrent(in[0], op, node.name, {in.begin() + 1, in.end()});
        if constexpr (std::is_same_v<T, BatchNormOp>) return batch_norm(in[0], node.name);
        if constexpr (std::is_same_v<T, NormOp>) return norm(in[0], op, node.name);
        if constexpr (std::is_same_v<T, EmbeddingOp>) return embedding(in[0], op, node.name);
        if constexpr (std::is_same_v<T, ActivationOp>)
          return activation(in[0], op.activation, node.name);
        if constexpr (std::is_same_v<T, PoolOp>) return pool(in[0], op, node.name);
        if constexpr (std::is_same_v<T, PoolNdOp>) return pool_nd(in[0], op, node.name);
        if constexpr (std::is_same_v<T, AdaptivePoolOp>) return adaptive_pool(in[0], op, node.name);
        if constexpr (std::is_same_v<T, GlobalPoolOp>) return global_avg_pool(in[0], node.name);
        if constexpr (std::is_same_v<T, AddOp>) return add(in[0], in[1], node.name);
        if constexpr (std::is_same_v<T, MulOp>) return mul(in[0], in[1], node.name);
        if constexpr (std::is_same_v<T, ElementOp>) return append(node.name, op, in, shape);
        if constexpr (std::is_same_v<T, ConcatOp>) return concat(in, node.name, op.axis);
        if constexpr (std::is_same_v<T, FlattenOp>) return view(in[0], shape, node.name);
        if constexpr (std::is_same_v<T, PartOp>) return part(in[0], shape, node.name);
        if constexpr (std::is_same_v<T, SoftmaxOp>) return softmax(in[0], node.name);
        if constexpr (std::is_same_v<T, CustomOp>) return custom(in, op, shape, node.name);
        if constexpr (std::is_same_v<T, UnknownOp>) return unknown(in, op.type, shape, node.name);
      },
      node.op);
}

Graph Graph::with_batch(std::int64_t batch) const {
  require_at_least(name_, "batch", batch, 1);
  const std::int64_t from = this->batch();
  if (batch == from) return *this;
  const Batched batched(*this);
  Graph result(name_, dtype_);
  std::vector<int> place;  // of this graph's tensors in the result
  const auto make_it_there = [&](const std::string& what) {
    return ShapeError(what + "; make the graph at batch " + std::to_string(batch));
  };
  for (const Node& old : nodes_) {
    Node node = old;
    result.set_dtype(node.dtype);
    const bool is_batched = batched[static_cast<int>(place.size())];
    if (is_batched && std::holds_alternative<CustomOp>(node.op)) {
      throw make_it_there(node.name +
                          ": how a custom operator's counts depend on the batch is not known");
    }
    for (std::size_t k = 0; k < node.inputs.size(); ++k) {
      node.inputs[k] = place[static_cast<std::size_t>(old.inputs[k])];
      if (!is_batched || !batched.needs_repetition(old, k)) continue;
      const Node& once = this->node(old.inputs[k]);
      node.inputs[k] =
          result.part(node.inputs[k], rebatched(once, from, batch), once.name + ".repeated");
    }
    // What had equal shapes at a batch of 1 may broadcast now.
    if (from == 1 && batched.broadcasts(old)) {
      if (std::holds_alternative<AddOp>(node.op)) node.op = ElementOp{"add"};
      if (std::holds_alternative<MulOp>(node.op)) node.op = ElementOp{"mul"};
    }
    const int undecided = is_batched ? batched.undecided(old) : -1;
    const auto whose = [&] {
      return "whether '" + this->node(undecided).name +
             "' has the batch is not known, as it depends on no input";
    };
    if (undecided >= 0 && batched.fits_either_way(old, undecided)) {
      throw make_it_there(node.name + ": " + whose());
    }
    try {
      const bool scales = is_batched && is_shaped(node.op);
      place.push_back(result.add_again(node, scales ? rebatched(old, from, batch) : old.shape));
    } catch (const ShapeError& error) {
      if (undecided < 0) throw;
      throw make_it_there(std::string(error.what()) + "; " + whose());
    }
    if (old.tied_to >= 0) result.tie(place.back(), place[static_cast<std::size_t>(old.tied_to)]);
  }
  result.set_dtype(dtype_);
  result.set_calls(calls_);
  return result;
}

}  // namespace alphaflops
