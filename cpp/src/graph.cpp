#include "alphaflops/graph.hpp"

#include <type_traits>
#include <utility>

#include "sizes.hpp"

namespace alphaflops {
namespace {

/// The node's shape at another batch, which is a factor of its leading size.
Shape rebatched(const Node& node, std::int64_t from, std::int64_t to) {
  Shape shape = node.shape;
  if (shape.empty()) return shape;
  if (shape[0] % from != 0) {
    throw ShapeError(node.name + ": the leading size of " + describe(shape) +
                     " is no multiple of the batch " + std::to_string(from) +
                     ", so the shape at another batch is not known; make the graph at that batch");
  }
  shape[0] = checked_mul(shape[0] / from, to, node.name.c_str());
  return shape;
}

}  // namespace

std::string describe(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

std::int64_t element_count(const Shape& shape) {
  std::int64_t count = 1;
  for (const std::int64_t size : shape) count = checked_mul(count, size, "elements of a tensor");
  return count;
}

Graph::Graph(std::string name, DType dtype) : name_(std::move(name)), dtype_(dtype) {}

const Node& Graph::node(int tensor) const {
  if (tensor < 0 || static_cast<std::size_t>(tensor) >= nodes_.size()) {
    throw ShapeError("tensor " + std::to_string(tensor) + " is not in graph '" + name_ +
                     "', which has " + std::to_string(nodes_.size()) + " tensors");
  }
  return nodes_[static_cast<std::size_t>(tensor)];
}

std::int64_t Graph::batch() const {
  for (const Node& node : nodes_) {
    if (std::holds_alternative<Input>(node.op) && !node.shape.empty()) return node.shape[0];
  }
  return 1;
}

std::string Graph::name_or_default(std::string name, std::string_view op) const {
  if (!name.empty()) return name;
  return std::string(op) + "_" + std::to_string(nodes_.size());
}

const Shape& Graph::checked_shape(int x, const std::string& name) const {
  try {
    return node(x).shape;
  } catch (const ShapeError& e) {
    throw ShapeError(name + ": " + e.what());
  }
}

int Graph::append(std::string name, Operator op, std::vector<int> inputs, Shape shape) {
  try {
    element_count(shape);
  } catch (const OverflowError& e) {
    throw OverflowError(name + ": output " + describe(shape) + ": " + e.what());
  }
  nodes_.push_back({std::move(name), std::move(op), std::move(inputs), std::move(shape)});
  return static_cast<int>(nodes_.size()) - 1;
}

int Graph::input(Shape shape, std::string name) {
  name = name_or_default(std::move(name), "input");
  if (shape.empty()) throw ShapeError(name + ": the shape is empty; give at least [batch]");
  require_at_least(name, "batch", shape[0], 1);
  require_sizes(name, shape);
  return append(std::move(name), Input{}, {}, std::move(shape));
}

std::vector<std::vector<int>> Graph::consumers() const {
  std::vector<std::vector<int>> result(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (const int x : nodes_[i].inputs) {
      result[static_cast<std::size_t>(x)].push_back(static_cast<int>(i));
    }
  }
  return result;
}

Graph Graph::with_dtype(DType dtype) const {
  Graph result = *this;
  result.dtype_ = dtype;
  return result;
}

int Graph::constant(Shape shape, bool trainable, std::string name) {
  const ConstantOp op{trainable};
  name = name_or_default(std::move(name), op_name(op));
  require_sizes(name, shape);
  return append(std::move(name), op, {}, std::move(shape));
}

void Graph::tie(int tensor, int to) {
  const Node& owner = node(to);
  const Node& other = node(tensor);
  if (to >= tensor) {
    throw ShapeError(other.name + ": its parameters can only be those of an earlier node; '" +
                     owner.name + "' is not");
  }
  nodes_[static_cast<std::size_t>(tensor)].tied_to = owner.tied_to >= 0 ? owner.tied_to : to;
}

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
        if constexpr (std::is_same_v<T, RecurrentOp>) return recurrent(in[0], op, node.name);
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
  Graph result(name_, dtype_);
  std::vector<bool> batched;  // what no input reaches is the same at any batch
  for (const Node& node : nodes_) {
    bool is_batched = std::holds_alternative<Input>(node.op);
    for (const int x : node.inputs) {
      is_batched = is_batched || batched[static_cast<std::size_t>(x)];
    }
    if (is_batched && batch != from && std::holds_alternative<CustomOp>(node.op)) {
      throw ShapeError(node.name + ": how a custom operator's counts depend on the batch is not " +
                       "known; make the graph at batch " + std::to_string(batch));
    }
    const int again =
        result.add_again(node, is_batched ? rebatched(node, from, batch) : node.shape);
    if (node.tied_to >= 0) result.tie(again, node.tied_to);
    batched.push_back(is_batched);
  }
  return result;
}

}  // namespace alphaflops
