// Shapes of everything else: products of matrices, attention, recurrences, elements, views.
#include <algorithm>
#include <utility>

#include "product.hpp"
#include "sizes.hpp"

namespace alphaflops {
namespace {

/// Aligned at the last axis; sizes of 1 repeat.
Shape broadcast(const std::string& name, Shape a, Shape b) {
  if (a.size() < b.size()) std::swap(a, b);
  for (std::size_t i = 0; i < b.size(); ++i) {
    std::int64_t& to = a[a.size() - b.size() + i];
    if (to == 1) to = b[i];
    if (b[i] != 1 && b[i] != to) {
      throw ShapeError(name + ": shapes " + describe(a) + " and " + describe(b) +
                       " do not broadcast; sizes must be equal or 1, from the last axis on");
    }
  }
  return a;
}

/// Negative axes count from the last.
std::size_t axis_of(const std::string& name, std::int64_t axis, const Shape& shape) {
  const auto axes = static_cast<std::int64_t>(shape.size());
  if (axis < -axes || axis >= axes) {
    throw ShapeError(name + ": axis " + std::to_string(axis) + " is not one of shape " +
                     describe(shape));
  }
  return static_cast<std::size_t>(axis < 0 ? axis + axes : axis);
}

void require_order(const std::string& name, const std::string& type,
                   const std::vector<std::int64_t>& order, const Shape& shape) {
  if (type != "contiguous" && type != "transpose") {
    throw UnsupportedError(name + ": '" + type +
                           "' takes no order of axes; contiguous and transpose do");
  }
  std::vector<std::int64_t> sorted = order;
  std::ranges::sort(sorted);
  bool is_each_once = sorted.size() == shape.size();
  for (std::size_t i = 0; is_each_once && i < sorted.size(); ++i) {
    is_each_once = sorted[i] == static_cast<std::int64_t>(i);
  }
  if (!is_each_once) {
    throw ShapeError(name + ": the order of axes is " + describe(order) + "; each of " +
                     std::to_string(shape.size()) + " is needed once");
  }
}

}  // namespace

int Graph::linear(int x, LinearOp op, std::string name) {
  name = name_or_default(std::move(name), "linear");
  Shape out = checked_shape(x, name);
  require_at_least(name, "out_features", op.out_features, 1);
  if (out.empty())
    throw ShapeError(name + ": the input is a scalar; features on its last axis are needed");
  out.back() = op.out_features;
  return append(std::move(name), op, {x}, std::move(out));
}

int Graph::matmul(int a, int b, std::string name) {
  name = name_or_default(std::move(name), "matmul");
  const Shape& left = checked_shape(a, name);
  const Shape& right = checked_shape(b, name);
  if (left.size() < 2 || right.size() < 2 || left.back() != right[right.size() - 2]) {
    throw ShapeError(name + ": operands have shapes " + describe(left) + " and " + describe(right) +
                     "; [..., m, k] and [..., k, n] are needed");
  }
  Shape out = broadcast(name, {left.begin(), left.end() - 2}, {right.begin(), right.end() - 2});
  out.push_back(left[left.size() - 2]);
  out.push_back(right.back());
  return append(std::move(name), MatmulOp{}, {a, b}, std::move(out));
}

int Graph::attention(std::vector<int> inputs, AttentionOp op, std::string name) {
  name = name_or_default(std::move(name), "attention");
  if (inputs.size() != 3 && inputs.size() != 4) {
    throw ShapeError(name + ": " + std::to_string(inputs.size()) +
                     " operands; q, k, v and at most a mask are needed");
  }
  const Shape& q = checked_shape(inputs[0], name);
  const Shape& k = checked_shape(inputs[1], name);
  const Shape& v = checked_shape(inputs[2], name);
  const bool fits = q.size() == 4 && k.size() == 4 && v.size() == 4 && q[0] == k[0] &&
                    k[0] == v[0] && k[1] == v[1] && q[1] % k[1] == 0 && q[3] == k[3] &&
                    k[2] == v[2];
  if (!fits) {
    throw ShapeError(name + ": q, k and v have shapes " + describe(q) + ", " + describe(k) + ", " +
                     describe(v) +
                     "; [batch, heads, length, depth], [batch, kv_heads, kv_length, depth] and "
                     "[batch, kv_heads, kv_length, v_depth] with kv_heads a divisor of heads are "
                     "needed");
  }
  if (inputs.size() == 4) checked_shape(inputs[3], name);
  Shape out{q[0], q[1], q[2], v[3]};
  return append(std::move(name), op, std::move(inputs), std::move(out));
}

int Graph::recurrent(int x, RecurrentOp op, std::string name, const std::vector<int>& states) {
  name = name_or_default(std::move(name), op_name(op));
  const Shape& in = checked_shape(x, name);
  if (in.size() != 3) {
    throw ShapeError(name + ": the input has shape " + describe(in) +
                     "; [batch, length, features] is needed");
  }
  require_at_least(name, "hidden", op.hidden, 1);
  require_at_least(name, "layers", op.layers, 1);
  require_at_least(name, "projection", op.projection, 0);
  if (op.projection > 0 && op.cell != RecurrentOp::Cell::lstm) {
    throw ShapeError(name + ": projection is " + std::to_string(op.projection) +
                     "; only an lstm has one");
  }
  const std::int64_t own = op.projection > 0 ? op.projection : op.hidden;
  Shape out{in[0], in[1], checked_mul(op.bidirectional ? 2 : 1, own, name.c_str())};
  const std::size_t due = op.cell == RecurrentOp::Cell::lstm ? 2 : 1;
  if (!states.empty() && states.size() != due) {
    throw ShapeError(name + ": " + std::to_string(states.size()) +
                     " states before the first step; " + std::to_string(due) +
                     " or none is needed");
  }
  std::vector<int> inputs{x};
  for (const int state : states) {
    const Shape& given = checked_shape(state, name);
    const std::int64_t size = inputs.size() == 1 ? own : op.hidden;
    const std::int64_t needed =
        product(name.c_str(), in[0], op.bidirectional ? 2 : 1, op.layers, size);
    if (element_count(given) != needed) {
      throw ShapeError(name + ": a state before the first step has shape " + describe(given) +
                       "; " + std::to_string(needed) + " elements are needed");
    }
    inputs.push_back(state);
  }
  return append(std::move(name), op, std::move(inputs), std::move(out));
}

int Graph::norm(int x, NormOp op, std::string name) {
  name = name_or_default(std::move(name), op_name(op));
  Shape out = checked_shape(x, name);
  const bool over_last = op.kind == NormOp::Kind::layer || op.kind == NormOp::Kind::rms;
  if (over_last) require_at_least(name, "axes", op.axes, 1);
  const std::size_t needed = over_last ? static_cast<std::size_t>(op.axes) : 2;
  if (out.size() < needed) {
    throw ShapeError(name + ": the input has shape " + describe(out) + "; at least " +
                     std::to_string(needed) + " axes are needed");
  }
  return append(std::move(name), op, {x}, std::move(out));
}

int Graph::embedding(int indices, EmbeddingOp op, std::string name) {
  name = name_or_default(std::move(name), "embedding");
  Shape out = checked_shape(indices, name);
  require_at_least(name, "rows", op.rows, 1);
  require_at_least(name, "features", op.features, 1);
  out.push_back(op.features);
  return append(std::move(name), op, {indices}, std::move(out));
}

int Graph::element(std::vector<int> inputs, std::string type, Shape shape, std::string name,
                   std::vector<std::int64_t> order) {
  element_cost(type);
  name = name_or_default(std::move(name), type);
  const bool given = !shape.empty();
  for (const int x : inputs) {
    const Shape& other = checked_shape(x, name);
    if (!given) shape = broadcast(name, shape, other);
  }
  require_sizes(name, shape);
  if (!order.empty()) require_order(name, type, order, shape);
  return append(std::move(name), ElementOp{std::move(type), std::move(order)}, std::move(inputs),
                std::move(shape));
}

int Graph::reduce(int x, std::string type, std::vector<std::int64_t> axes, bool keep_axes,
                  std::string name) {
  const ElementCost& cost = element_cost(type);
  name = name_or_default(std::move(name), type);
  if (cost.kind != ElementCost::Kind::reduce) {
    throw UnsupportedError(name + ": '" + type + "' is no reduction");
  }
  const Shape& in = checked_shape(x, name);
  std::vector<bool> reduced(in.size(), axes.empty());
  for (const std::int64_t axis : axes) reduced[axis_of(name, axis, in)] = true;
  Shape out;
  for (std::size_t i = 0; i < in.size(); ++i) {
    if (!reduced[i]) out.push_back(in[i]);
    if (reduced[i] && keep_axes) out.push_back(1);
  }
  return append(std::move(name), ElementOp{std::move(type)}, {x}, std::move(out));
}

int Graph::activation(int x, Activation activation, std::string name) {
  name = name_or_default(std::move(name), to_string(activation));
  Shape out = checked_shape(x, name);
  return append(std::move(name), ActivationOp{activation}, {x}, std::move(out));
}

int Graph::add(int a, int b, std::string name) {
  name = name_or_default(std::move(name), "add");
  Shape out = checked_shape(a, name);
  if (out != checked_shape(b, name)) {
    throw ShapeError(name + ": operands have shapes " + describe(out) + " and " +
                     describe(node(b).shape) + "; they must be equal");
  }
  return append(std::move(name), AddOp{}, {a, b}, std::move(out));
}

int Graph::mul(int a, int b, std::string name) {
  name = name_or_default(std::move(name), "mul");
  Shape out = checked_shape(a, name);
  const Shape& gate = checked_shape(b, name);
  const bool per_channel = out.size() == 4 && gate.size() == 4 && gate[0] == out[0] &&
                           gate[1] == out[1] && gate[2] == 1 && gate[3] == 1;
  if (out != gate && !per_channel) {
    throw ShapeError(name + ": operands have shapes " + describe(out) + " and " + describe(gate) +
                     "; they must be equal, or the second [batch, channels, 1, 1]");
  }
  return append(std::move(name), MulOp{}, {a, b}, std::move(out));
}

int Graph::concat(std::vector<int> inputs, std::string name, std::int64_t axis) {
  name = name_or_default(std::move(name), "concat");
  if (inputs.empty()) throw ShapeError(name + ": nothing to concatenate; give at least one tensor");
  Shape out = checked_shape(inputs[0], name);
  const std::size_t at = axis_of(name, axis, out);
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    const Shape& other = checked_shape(inputs[i], name);
    Shape expected = out;
    if (other.size() == out.size()) expected[at] = other[at];
    if (other != expected) {
      throw ShapeError(name + ": operands have shapes " + describe(out) + " and " +
                       describe(other) + "; all axes but " + std::to_string(at) + " must be equal");
    }
    out[at] = checked_add(out[at], other[at], (name + ": concat").c_str());
  }
  return append(std::move(name), ConcatOp{static_cast<std::int64_t>(at)}, std::move(inputs),
                std::move(out));
}

int Graph::flatten(int x, std::string name) {
  name = name_or_default(std::move(name), "flatten");
  const Shape& in = checked_shape(x, name);
  if (in.empty()) throw ShapeError(name + ": the input is a scalar; at least [batch] is needed");
  const std::int64_t features = element_count({in.begin() + 1, in.end()});
  Shape out{in[0], features};
  return append(std::move(name), FlattenOp{}, {x}, std::move(out));
}

int Graph::view(int x, Shape shape, std::string name) {
  name = name_or_default(std::move(name), "view");
  const Shape& in = checked_shape(x, name);
  require_sizes(name, shape);
  if (element_count(in) != element_count(shape)) {
    throw ShapeError(name + ": the input has shape " + describe(in) + " and the view " +
                     describe(shape) + "; they must hold equally many elements");
  }
  return append(std::move(name), FlattenOp{}, {x}, std::move(shape));
}

int Graph::part(int x, Shape shape, std::string name) {
  name = name_or_default(std::move(name), "part");
  checked_shape(x, name);
  require_sizes(name, shape);
  return append(std::move(name), PartOp{}, {x}, std::move(shape));
}

int Graph::softmax(int x, std::string name) {
  name = name_or_default(std::move(name), "softmax");
  Shape out = checked_shape(x, name);
  return append(std::move(name), SoftmaxOp{}, {x}, std::move(out));
}

int Graph::custom(std::vector<int> inputs, CustomOp op, Shape shape, std::string name) {
  name = name_or_default(std::move(name), op.type);
  for (const int x : inputs) checked_shape(x, name);
  require_sizes(name, shape);
  require_at_least(name, "macs", op.macs, 0);
  require_at_least(name, "flops", op.flops, 0);
  require_at_least(name, "params", op.params, 0);
  return append(std::move(name), std::move(op), std::move(inputs), std::move(shape));
}

int Graph::unknown(std::vector<int> inputs, std::string type, Shape shape, std::string name) {
  name = name_or_default(std::move(name), type);
  for (const int x : inputs) checked_shape(x, name);
  require_sizes(name, shape);
  return append(std::move(name), UnknownOp{std::move(type)}, std::move(inputs), std::move(shape));
}

}  // namespace alphaflops
