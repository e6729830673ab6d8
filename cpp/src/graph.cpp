#include "alphaflops/graph.hpp"

#include <utility>

#include "sizes.hpp"

namespace alphaflops {
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
  const OpCode code = op_code(op);
  nodes_.push_back({.name = std::move(name),
                    .op = std::move(op),
                    .inputs = std::move(inputs),
                    .shape = std::move(shape),
                    .dtype = dtype_,
                    .code = code});
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
  for (Node& node : result.nodes_) node.dtype = dtype;
  return result;
}

void Graph::set_calls(std::int64_t calls) {
  require_at_least(name_, "calls", calls, 0);
  calls_ = calls;
}

void Graph::rename(int tensor, std::string name) {
  node(tensor);
  nodes_[static_cast<std::size_t>(tensor)].name = std::move(name);
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

}  // namespace alphaflops
