#include "alphaflops/graph.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

std::string describe(const Shape& shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  }
  return text + "]";
}

void require_at_least(const std::string& name, const char* field, std::int64_t value,
                      std::int64_t least) {
  if (value < least) {
    throw ShapeError(name + ": " + field + " is " + std::to_string(value) +
                     "; it must be at least " + std::to_string(least));
  }
}

void require_sizes(const std::string& name, const Shape& shape) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    require_at_least(name, ("dimension " + std::to_string(i)).c_str(), shape[i], 1);
  }
}

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

std::int64_t window_extent(const std::string& name, const char* axis, std::int64_t in,
                           std::int64_t kernel, std::int64_t stride, std::int64_t pad_before,
                           std::int64_t pad_after, std::int64_t dilation, bool ceil_mode) {
  const std::string what = name + ": " + axis;
  const std::int64_t padded =
      checked_add(in, checked_add(pad_before, pad_after, what.c_str()), what.c_str());
  const std::int64_t reach =
      checked_add(checked_mul(dilation, kernel - 1, what.c_str()), 1, what.c_str());
  if (reach > padded) {
    throw ShapeError(name + ": the kernel spans " + std::to_string(reach) + " elements along " +
                     axis + " but the padded input has " + std::to_string(padded) +
                     "; use a smaller kernel or dilation, or more padding");
  }
  const std::int64_t room = padded - reach;
  std::int64_t out = room / stride + 1;
  if (ceil_mode && room % stride != 0 && out * stride < in + pad_before) ++out;
  return out;
}

}  // namespace

std::array<std::int64_t, 2> output_extent(const std::string& name, std::int64_t h_in,
                                          std::int64_t w_in, const Window& w, bool ceil_mode) {
  require_at_least(name, "h_in", h_in, 1);
  require_at_least(name, "w_in", w_in, 1);
  require_at_least(name, "k_h", w.kernel[0], 1);
  require_at_least(name, "k_w", w.kernel[1], 1);
  require_at_least(name, "stride_h", w.stride[0], 1);
  require_at_least(name, "stride_w", w.stride[1], 1);
  require_at_least(name, "dilation_h", w.dilation[0], 1);
  require_at_least(name, "dilation_w", w.dilation[1], 1);
  constexpr std::array<const char*, 4> pad_names{"pad_top", "pad_bottom", "pad_left", "pad_right"};
  for (std::size_t i = 0; i < 4; ++i) require_at_least(name, pad_names[i], w.pad[i], 0);
  return {window_extent(name, "height", h_in, w.kernel[0], w.stride[0], w.pad[0], w.pad[1],
                        w.dilation[0], ceil_mode),
          window_extent(name, "width", w_in, w.kernel[1], w.stride[1], w.pad[2], w.pad[3],
                        w.dilation[1], ceil_mode)};
}

std::string_view op_name(const Operator& op) {
  return std::visit(
      [](const auto& o) -> std::string_view {
        using T = std::decay_t<decltype(o)>;
        if constexpr (std::is_same_v<T, Input>) return "input";
        if constexpr (std::is_same_v<T, Conv2dOp>) return "conv2d";
        if constexpr (std::is_same_v<T, LinearOp>) return "linear";
        if constexpr (std::is_same_v<T, BatchNormOp>) return "batch_norm";
        if constexpr (std::is_same_v<T, ActivationOp>) return to_string(o.activation);
        if constexpr (std::is_same_v<T, PoolOp>)
          return o.kind == PoolOp::Kind::max ? "max_pool" : "avg_pool";
        if constexpr (std::is_same_v<T, GlobalPoolOp>) return "global_avg_pool";
        if constexpr (std::is_same_v<T, AddOp>) return "add";
        if constexpr (std::is_same_v<T, MulOp>) return "mul";
        if constexpr (std::is_same_v<T, ConcatOp>) return "concat";
        if constexpr (std::is_same_v<T, FlattenOp>) return "flatten";
        if constexpr (std::is_same_v<T, SoftmaxOp>) return "softmax";
        if constexpr (std::is_same_v<T, UnknownOp>) return o.type;
      },
      op);
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

const Shape& Graph::image_shape(int x, const std::string& name) const {
  const Shape& shape = checked_shape(x, name);
  if (shape.size() != 4) {
    throw ShapeError(name + ": the input has shape " + describe(shape) +
                     "; an image [batch, channels, height, width] is needed");
  }
  return shape;
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

int Graph::conv2d(int x, Conv2dOp op, std::string name) {
  name = name_or_default(std::move(name), "conv2d");
  const Shape& in = image_shape(x, name);
  require_at_least(name, "c_out", op.c_out, 1);
  require_at_least(name, "groups", op.groups, 1);
  if (in[1] % op.groups != 0 || op.c_out % op.groups != 0) {
    throw ShapeError(name + ": groups " + std::to_string(op.groups) + " must divide c_in " +
                     std::to_string(in[1]) + " and c_out " + std::to_string(op.c_out));
  }
  const auto [h, w] = output_extent(name, in[2], in[3], op.window);
  Shape out{in[0], op.c_out, h, w};
  return append(std::move(name), op, {x}, std::move(out));
}

int Graph::linear(int x, LinearOp op, std::string name) {
  name = name_or_default(std::move(name), "linear");
  Shape out = checked_shape(x, name);
  require_at_least(name, "out_features", op.out_features, 1);
  if (out.empty())
    throw ShapeError(name + ": the input is a scalar; features on its last axis are needed");
  out.back() = op.out_features;
  return append(std::move(name), op, {x}, std::move(out));
}

int Graph::batch_norm(int x, std::string name) {
  name = name_or_default(std::move(name), "batch_norm");
  Shape out = checked_shape(x, name);
  if (out.size() < 2) {
    throw ShapeError(name + ": the input has shape " + describe(out) +
                     "; channels on axis 1 are needed");
  }
  return append(std::move(name), BatchNormOp{}, {x}, std::move(out));
}

int Graph::activation(int x, Activation activation, std::string name) {
  name = name_or_default(std::move(name), to_string(activation));
  Shape out = checked_shape(x, name);
  return append(std::move(name), ActivationOp{activation}, {x}, std::move(out));
}

int Graph::pool(int x, PoolOp op, std::string name) {
  name = name_or_default(std::move(name), op_name(op));
  const Shape& in = image_shape(x, name);
  const auto [h, w] = output_extent(name, in[2], in[3], op.window, op.ceil_mode);
  Shape out{in[0], in[1], h, w};
  return append(std::move(name), op, {x}, std::move(out));
}

int Graph::global_avg_pool(int x, std::string name) {
  name = name_or_default(std::move(name), "global_avg_pool");
  const Shape& in = image_shape(x, name);
  Shape out{in[0], in[1], 1, 1};
  return append(std::move(name), GlobalPoolOp{}, {x}, std::move(out));
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

int Graph::concat(std::vector<int> inputs, std::string name) {
  name = name_or_default(std::move(name), "concat");
  if (inputs.empty()) throw ShapeError(name + ": nothing to concatenate; give at least one tensor");
  Shape out = checked_shape(inputs[0], name);
  if (out.size() < 2) {
    throw ShapeError(name + ": the input has shape " + describe(out) +
                     "; channels on axis 1 are needed");
  }
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    const Shape& other = checked_shape(inputs[i], name);
    Shape expected = out;
    if (other.size() == out.size()) expected[1] = other[1];
    if (other != expected) {
      throw ShapeError(name + ": operands have shapes " + describe(out) + " and " +
                       describe(other) + "; all axes but channels must be equal");
    }
    out[1] = checked_add(out[1], other[1], (name + ": channels").c_str());
  }
  return append(std::move(name), ConcatOp{}, std::move(inputs), std::move(out));
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

int Graph::softmax(int x, std::string name) {
  name = name_or_default(std::move(name), "softmax");
  Shape out = checked_shape(x, name);
  return append(std::move(name), SoftmaxOp{}, {x}, std::move(out));
}

int Graph::unknown(std::vector<int> inputs, std::string type, Shape shape, std::string name) {
  name = name_or_default(std::move(name), type);
  for (const int x : inputs) checked_shape(x, name);
  require_sizes(name, shape);
  return append(std::move(name), UnknownOp{std::move(type)}, std::move(inputs), std::move(shape));
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

Graph Graph::with_batch(std::int64_t batch) const {
  require_at_least(name_, "batch", batch, 1);
  const std::int64_t from = this->batch();
  Graph result(name_, dtype_);
  for (const Node& node : nodes_) {
    std::visit(
        [&](const auto& op) {
          using T = std::decay_t<decltype(op)>;
          const std::vector<int>& in = node.inputs;
          if constexpr (std::is_same_v<T, Input>)
            result.input(rebatched(node, from, batch), node.name);
          if constexpr (std::is_same_v<T, Conv2dOp>) result.conv2d(in[0], op, node.name);
          if constexpr (std::is_same_v<T, LinearOp>) result.linear(in[0], op, node.name);
          if constexpr (std::is_same_v<T, BatchNormOp>) result.batch_norm(in[0], node.name);
          if constexpr (std::is_same_v<T, ActivationOp>)
            result.activation(in[0], op.activation, node.name);
          if constexpr (std::is_same_v<T, PoolOp>) result.pool(in[0], op, node.name);
          if constexpr (std::is_same_v<T, GlobalPoolOp>) result.global_avg_pool(in[0], node.name);
          if constexpr (std::is_same_v<T, AddOp>) result.add(in[0], in[1], node.name);
          if constexpr (std::is_same_v<T, MulOp>) result.mul(in[0], in[1], node.name);
          if constexpr (std::is_same_v<T, ConcatOp>) result.concat(in, node.name);
          if constexpr (std::is_same_v<T, FlattenOp>)
            result.view(in[0], rebatched(node, from, batch), node.name);
          if constexpr (std::is_same_v<T, SoftmaxOp>) result.softmax(in[0], node.name);
          if constexpr (std::is_same_v<T, UnknownOp>)
            result.unknown(in, op.type, rebatched(node, from, batch), node.name);
        },
        node.op);
  }
  return result;
}

}  // namespace alphaflops
