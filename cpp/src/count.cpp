// What one node takes: multiply-accumulates, other operations, parameters, elements read and
// written. docs/operators.md has the table.
#include "count.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <type_traits>
#include <variant>

#include "alphaflops/error.hpp"
#include "alphaflops/work.hpp"
#include "product.hpp"

namespace alphaflops {

int root_of(const Graph& graph, int x) {
  while (std::holds_alternative<FlattenOp>(graph.node(x).op) ||
         std::holds_alternative<PartOp>(graph.node(x).op)) {
    x = graph.node(x).inputs[0];
  }
  return x;
}

namespace {

/// Floating-point operations one element of an activation costs (docs/counting.md).
std::int64_t flops_per_element(Activation activation) {
  switch (activation) {
    case Activation::none: return 0;
    case Activation::relu: return 1;
    case Activation::relu6: return 2;
    case Activation::hardsigmoid: return 4;  // scale, shift, two clamps
    case Activation::hardswish: return 5;
    case Activation::sigmoid: return 4;  // negate, exp, add, divide
    case Activation::silu: return 5;
    case Activation::tanh: return 1;
    case Activation::gelu: return 5;  // scale, erf, add, multiply, scale
  }
  return 0;
}

void count_bias(Work& w, bool bias, const char* what) {
  w.biased = bias;
  if (bias) w.weights_read = checked_add(w.weights_read, w.c_out, what);
  w.params = w.weights_read;
  w.flops = checked_add(checked_mul(2, w.macs, what), bias ? w.elements_written : 0, what);
}

void count_conv(Work& w, const Node& node, const Shape& in, const Conv2dOp& op) {
  const char* what = node.name.c_str();
  const ConvSpec spec{.batch = in[0],
                      .c_in = in[1],
                      .h_in = in[2],
                      .w_in = in[3],
                      .c_out = op.c_out,
                      .k_h = op.window.kernel[0],
                      .k_w = op.window.kernel[1],
                      .stride_h = op.window.stride[0],
                      .stride_w = op.window.stride[1],
                      .h_out = node.shape[2],
                      .w_out = node.shape[3],
                      .groups = op.groups,
                      .padded_elements = padded_elements(in, op.window, what),
                      .bias = op.bias,
                      .dtype = w.dtype};
  try {
    w = conv_work(spec);
  } catch (const OverflowError& e) {
    throw OverflowError(std::string(what) + ": " + e.what());
  }
}

void count_linear(Work& w, const Node& node, const Shape& in, const LinearOp& op) {
  const char* what = node.name.c_str();
  w.kind = Kind::linear;
  w.c_in = in.back();
  w.c_out = op.out_features;
  w.batch = element_count({in.begin(), in.end() - 1});
  w.spatial = w.width = 1;  // pixels of an image are rows too
  w.weights_read = product(what, w.c_in, w.c_out);
  w.macs = product(what, w.batch, w.weights_read);
  count_bias(w, op.bias, what);
}

/// Positions a kernel is laid on: of the output, and of the input where it is transposed.
void count_conv_nd(Work& w, const Node& node, const Shape& in, const ConvNdOp& op) {
  const char* what = node.name.c_str();
  w.groups = op.groups;
  w.c_in = in[1];
  w.c_out = op.c_out;
  w.kernel_volume = w.stride = 1;
  for (const AxisWindow& axis : op.axes) {
    w.kernel_volume = checked_mul(w.kernel_volume, axis.kernel, what);
    w.stride = checked_mul(w.stride, axis.stride, what);
  }
  w.kernel_width = op.axes.back().kernel;
  const Shape& slid = op.transposed ? in : node.shape;
  w.spatial = element_count({slid.begin() + 2, slid.end()});
  w.width = slid.back();
  w.kind = op.transposed          ? Kind::conv_transposed
           : op.axes.size() > 2   ? Kind::conv_3d
           : op.groups > 1        ? Kind::conv_grouped
           : w.kernel_volume == 1 ? Kind::conv_1x1
                                  : Kind::conv_spatial;
  w.weights_read = product(what, op.c_out, in[1] / op.groups, w.kernel_volume);
  w.macs = product(what, in[0], w.spatial, w.weights_read);
  count_bias(w, op.bias, what);
}

/// Groups are the matrices of the batch, as those of a grouped 1 x 1 convolution.
void count_matmul(Work& w, const Graph& graph, const Node& node) {
  const char* what = node.name.c_str();
  const Shape& a = graph.node(node.inputs[0]).shape;
  const Shape& b = graph.node(node.inputs[1]).shape;
  w.kind = Kind::matmul;
  w.groups = element_count({node.shape.begin(), node.shape.end() - 2});
  w.batch = node.shape[node.shape.size() - 2];
  w.c_in = checked_mul(w.groups, a.back(), what);
  w.c_out = checked_mul(w.groups, b.back(), what);
  w.spatial = w.width = 1;
  w.macs = product(what, w.batch, a.back(), w.c_out);
  w.flops = checked_mul(2, w.macs, what);
  w.activations_read = element_count(a);
  w.weights_read = element_count(b);
}

/// Pairs of a query and a key: all, or those where the key is no later, the last ones aligned.
std::int64_t scores_of(const AttentionOp& op, std::int64_t length, std::int64_t kv_length,
                       const char* what) {
  const std::int64_t all = checked_mul(length, kv_length, what);
  if (op.scores == AttentionOp::Scores::all) return all;
  const std::int64_t rows = std::min(length, kv_length);  // further ones see nothing
  const std::int64_t first = kv_length - rows + 1;        // keys that the first of them sees
  return (checked_mul(rows, checked_add(first, kv_length, what), what)) / 2;
}

/// Per score: depth and v_depth multiply-accumulates, a scaling and the five of a softmax.
void count_attention(Work& w, const Graph& graph, const Node& node, const AttentionOp& op) {
  const char* what = node.name.c_str();
  const Shape& q = graph.node(node.inputs[0]).shape;
  const Shape& k = graph.node(node.inputs[1]).shape;
  const Shape& v = graph.node(node.inputs[2]).shape;
  w.kind = Kind::attention;
  w.groups = checked_mul(q[0], q[1], what);
  w.batch = q[2];
  const std::int64_t depth = checked_add(q[3], v[3], what);
  w.c_in = checked_mul(w.groups, depth, what);
  w.c_out = checked_mul(w.groups, k[2], what);
  w.spatial = w.width = 1;
  const std::int64_t scores = product(what, w.groups, scores_of(op, q[2], k[2], what));
  w.macs = checked_mul(scores, depth, what);
  const std::int64_t per_score = node.inputs.size() > 3 ? 7 : 6;
  w.flops = checked_add(checked_mul(2, w.macs, what), checked_mul(per_score, scores, what), what);
  w.activations_read = element_count(q);
  if (node.inputs.size() > 3) {
    w.activations_read =
        checked_add(w.activations_read, element_count(graph.node(node.inputs[3]).shape), what);
  }
  w.weights_read = checked_add(element_count(k), element_count(v), what);
}

/// Gates x hidden x (inputs + state) a step, layer and direction, and what a projection takes.
void count_recurrent(Work& w, const Node& node, const Shape& in, const RecurrentOp& op) {
  const char* what = node.name.c_str();
  constexpr std::array<std::int64_t, 3> gates_of{1, 4, 3};
  // An element of the state: gates joined, activations as flops_per_element has them, the update.
  constexpr std::array<std::int64_t, 3> flops_of{2, 22, 17};
  const std::int64_t gates = gates_of[static_cast<std::size_t>(op.cell)];
  const std::int64_t directions = op.bidirectional ? 2 : 1;
  const std::int64_t state = op.projection > 0 ? op.projection : op.hidden;
  const std::int64_t steps = checked_mul(in[0], in[1], what);
  const auto weights_of = [&](std::int64_t features) {  // of one layer, both directions
    const std::int64_t own =
        checked_add(product(what, gates, op.hidden, checked_add(features, state, what)),
                    product(what, op.projection, op.hidden), what);
    return checked_mul(directions, own, what);
  };
  const std::int64_t weights = checked_add(
      weights_of(in[2]),
      checked_mul(op.layers - 1, weights_of(checked_mul(directions, state, what)), what), what);
  const std::int64_t biases =
      op.bias ? product(what, 2, directions, gates, op.hidden, op.layers) : 0;
  const bool is_layer = op.cell == RecurrentOp::Cell::lstm && in[1] > 1;
  w.kind = is_layer ? Kind::lstm : Kind::recurrent;
  w.batch = in[0];
  w.c_in = in[2];
  w.c_out = node.shape.back();
  w.spatial = checked_mul(op.layers, in[1], what);
  w.width = in[1];
  w.macs = checked_mul(steps, weights, what);
  w.params = w.weights_read = checked_add(weights, biases, what);
  w.biased = op.bias;
  const std::int64_t cells = product(what, steps, directions, op.layers, op.hidden);
  w.flops = checked_add(
      checked_mul(2, w.macs, what),
      checked_add(checked_mul(steps, biases, what),
                  checked_mul(cells, flops_of[static_cast<std::size_t>(op.cell)], what), what),
      what);
}

/// Mean, variance (2), subtraction and division, and what scale and shift take; no mean in RMS.
void count_norm(Work& w, const Node& node, const NormOp& op) {
  const char* what = node.name.c_str();
  w.kind = Kind::norm;
  const Shape& shape = node.shape;
  const bool over_last = op.kind == NormOp::Kind::layer || op.kind == NormOp::Kind::rms;
  const std::int64_t elements =
      over_last ? element_count({shape.end() - op.axes, shape.end()}) : shape[1];
  const std::int64_t affine = (op.scale ? 1 : 0) + (op.shift ? 1 : 0);
  w.weights_read = w.params = checked_mul(affine, elements, what);
  const std::int64_t per_element = (op.kind == NormOp::Kind::rms ? 3 : 5) + affine;
  w.flops = checked_mul(per_element, w.elements_written, what);
}

void count_element(Work& w, const Graph& graph, const Node& node, const ElementOp& op) {
  const char* what = node.name.c_str();
  const ElementCost& cost = element_cost(op.type);
  constexpr std::array kinds{Kind::elementwise, Kind::reduce, Kind::copy};
  w.kind = cost.transcendental ? Kind::transcendental : kinds[static_cast<std::size_t>(cost.kind)];
  const std::int64_t in = node.inputs.empty() ? 0 : element_count(graph.node(node.inputs[0]).shape);
  w.flops = checked_add(checked_mul(cost.per_output, w.elements_written, what),
                        checked_mul(cost.per_input, in, what), what);
  // A copy reads what it writes and no more, however large the table is that it takes it from.
  if (cost.kind == ElementCost::Kind::copy) {
    w.activations_read = std::min(w.activations_read, w.elements_written);
  }
  if (!op.order.empty()) count_order(w, node.shape, op.order);
}

void count_pool_nd(Work& w, const Node& node, const PoolNdOp& op) {
  const char* what = node.name.c_str();
  w.kind = Kind::pool;
  w.kernel_volume = w.stride = 1;
  for (const AxisWindow& axis : op.axes) {
    w.kernel_volume = checked_mul(w.kernel_volume, axis.kernel, what);
    w.stride = checked_mul(w.stride, axis.stride, what);
  }
  w.kernel_width = op.axes.back().kernel;
  w.flops = product(what, w.elements_written, w.kernel_volume);
}

void count_adaptive_pool(Work& w, const Node& node, const Shape& in, const AdaptivePoolOp& op) {
  const char* what = node.name.c_str();
  w.kind = Kind::pool;
  w.kernel_volume = w.stride = 1;
  w.flops = checked_mul(in[0], in[1], what);
  for (std::size_t i = 0; i < op.extent.size(); ++i) {
    const std::int64_t from = in[i + 2], to = op.extent[i];
    // Elements of all windows together: neighbours share one where their border is no whole number.
    const std::int64_t covered = checked_add(from, to, what) - std::gcd(from, to);
    w.flops = checked_mul(w.flops, covered, what);
    const std::int64_t kernel = (from + to - 1) / to;
    w.kernel_volume = checked_mul(w.kernel_volume, kernel, what);
    w.stride = checked_mul(w.stride, std::max<std::int64_t>(1, from / to), what);
    w.kernel_width = kernel;
  }
}

bool reads(const Graph& graph, int node, int root) {
  const std::vector<int>& inputs = graph.node(node).inputs;
  return !is_free(graph.node(node).op) &&
         std::ranges::any_of(inputs, [&](int x) { return root_of(graph, x) == root; });
}

/// Constants are read as weights. Parameters that no layer owns count where they are read first.
void count_constants(Work& w, const Graph& graph, int index) {
  const Node& node = graph.node(index);
  const char* what = node.name.c_str();
  for (const int x : node.inputs) {
    const int root = root_of(graph, x);
    const auto* constant = std::get_if<ConstantOp>(&graph.node(root).op);
    if (constant == nullptr) continue;
    if (w.kind != Kind::matmul && w.kind != Kind::attention) {  // told apart already
      const std::int64_t moved = std::min(element_count(graph.node(x).shape), w.activations_read);
      w.activations_read -= moved;
      w.weights_read = checked_add(w.weights_read, moved, what);
    }
    bool is_first = constant->trainable;
    for (int i = root + 1; i < index && is_first; ++i) is_first = !reads(graph, i, root);
    if (is_first) {
      w.params = checked_add(w.params, element_count(graph.node(root).shape), what);
    }
  }
}

void count_pool(Work& w, const Node& node, const PoolOp& op) {
  w.kind = Kind::pool;
  w.kernel_volume = product(node.name.c_str(), op.window.kernel[0], op.window.kernel[1]);
  w.kernel_width = op.window.kernel[1];
  w.stride = product(node.name.c_str(), op.window.stride[0], op.window.stride[1]);
  w.flops = product(node.name.c_str(), w.elements_written, w.kernel_volume);
}

}  // namespace

Work own_work(const Graph& graph, int index) {
  const Node& node = graph.node(index);
  const char* what = node.name.c_str();
  Work w;
  w.dtype = node.dtype;
  w.batch = node.shape.empty() ? 1 : node.shape[0];
  w.elements_written = element_count(node.shape);
  for (const int x : node.inputs) {
    w.activations_read = checked_add(w.activations_read, element_count(graph.node(x).shape), what);
  }
  if (node.shape.size() == 4) {
    w.c_out = node.shape[1];
    w.spatial = product(what, node.shape[2], node.shape[3]);
    w.width = node.shape[3];
  } else if (!node.shape.empty()) {
    w.c_out = node.shape.back();
  }
  if (is_free(node.op)) return w;  // nothing is launched
  const Shape& in = node.inputs.empty() ? node.shape : graph.node(node.inputs[0]).shape;
  if (!in.empty()) w.c_in = in.size() == 4 ? in[1] : in.back();

  std::visit(
      [&](const auto& op) {
        using T = std::decay_t<decltype(op)>;
        if constexpr (std::is_same_v<T, Conv2dOp>) count_conv(w, node, in, op);
        if constexpr (std::is_same_v<T, ConvNdOp>) count_conv_nd(w, node, in, op);
        if constexpr (std::is_same_v<T, LinearOp>) count_linear(w, node, in, op);
        if constexpr (std::is_same_v<T, MatmulOp>) count_matmul(w, graph, node);
        if constexpr (std::is_same_v<T, AttentionOp>) count_attention(w, graph, node, op);
        if constexpr (std::is_same_v<T, RecurrentOp>) count_recurrent(w, node, in, op);
        if constexpr (std::is_same_v<T, BatchNormOp>) {
          w.kind = Kind::norm;
          w.weights_read = checked_mul(2, in[1], what);  // scale and shift
          w.params = w.weights_read;
          w.flops = product(what, 2, w.elements_written);
        }
        if constexpr (std::is_same_v<T, NormOp>) count_norm(w, node, op);
        if constexpr (std::is_same_v<T, EmbeddingOp>) {
          w.kind = Kind::copy;
          w.params = checked_mul(op.rows, op.features, what);
          w.weights_read = w.elements_written;
        }
        if constexpr (std::is_same_v<T, ActivationOp>) {
          w.kind = is_transcendental(op.activation) ? Kind::transcendental : Kind::elementwise;
          w.flops = product(what, w.elements_written, flops_per_element(op.activation));
        }
        if constexpr (std::is_same_v<T, PoolOp>) count_pool(w, node, op);
        if constexpr (std::is_same_v<T, PoolNdOp>) count_pool_nd(w, node, op);
        if constexpr (std::is_same_v<T, AdaptivePoolOp>) count_adaptive_pool(w, node, in, op);
        if constexpr (std::is_same_v<T, GlobalPoolOp>) {
          w.kind = Kind::pool;
          w.kernel_volume = product(what, in[2], in[3]);
          w.kernel_width = in[3];
          w.flops = w.activations_read;
        }
        if constexpr (std::is_same_v<T, AddOp> || std::is_same_v<T, MulOp>) {
          w.kind = Kind::elementwise;
          w.flops = w.elements_written;
        }
        if constexpr (std::is_same_v<T, ElementOp>) count_element(w, graph, node, op);
        if constexpr (std::is_same_v<T, ConcatOp>) w.kind = Kind::copy;
        if constexpr (std::is_same_v<T, SoftmaxOp>) {
          w.kind = Kind::softmax;
          w.flops = product(what, 5, w.elements_written);  // max, subtract, exp, sum, divide
        }
        if constexpr (std::is_same_v<T, CustomOp>) {
          w.kind = op.macs > 0 ? Kind::linear : Kind::elementwise;
          w.macs = op.macs;
          w.flops = op.flops;
          w.params = w.weights_read = op.params;
        }
      },
      node.op);
  w.op = node.code;
  return w;
}

Work work_of(const Graph& graph, int index) {
  Work w = own_work(graph, index);
  if (is_free(graph.node(index).op)) return w;
  if (graph.node(index).tied_to >= 0) w.params = 0;
  count_constants(w, graph, index);
  return w;
}

}  // namespace alphaflops
