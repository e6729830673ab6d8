#include "alphaflops/spec.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <optional>

#include "alphaflops/error.hpp"
#include "alphaflops/training.hpp"
#include "sizes.hpp"

namespace alphaflops {
namespace {

/// Padding before and after so that `out` windows fit; the nominal padding where out is 0.
std::array<std::int64_t, 2> split_padding(const OperatorSpec& s, std::int64_t in,
                                          std::int64_t kernel, std::int64_t stride,
                                          std::int64_t dilation, std::int64_t pad,
                                          std::int64_t out) {
  if (out == 0) return {pad, pad};
  require_at_least(s.op, "an input extent", in, 1);
  require_at_least(s.op, "a kernel extent", kernel, 1);
  require_at_least(s.op, "a stride", stride, 1);
  require_at_least(s.op, "a dilation", dilation, 1);
  require_at_least(s.op, "a padding", pad, 0);
  require_at_least(s.op, "an output extent", out, 1);
  const char* what = s.op.c_str();
  const std::int64_t reach = checked_add(checked_mul(dilation, kernel - 1, what), 1, what);
  const std::int64_t needed = checked_add(checked_mul(out - 1, stride, what), reach, what);
  const std::int64_t total = std::max<std::int64_t>(0, needed - in);
  const std::int64_t nominal = checked_mul(2, pad, what);
  if (total <= nominal && total > nominal - stride) return {pad, pad};  // what is nominal will do
  return {total / 2, total - total / 2};
}

Window window_of(const OperatorSpec& s) {
  const auto [top, bottom] =
      split_padding(s, s.h_in, s.k_h, s.stride_h, s.dilation_h, s.pad_h, s.h_out);
  const auto [left, right] =
      split_padding(s, s.w_in, s.k_w, s.stride_w, s.dilation_w, s.pad_w, s.w_out);
  return {.kernel = {s.k_h, s.k_w},
          .stride = {s.stride_h, s.stride_w},
          .pad = {top, bottom, left, right},
          .dilation = {s.dilation_h, s.dilation_w}};
}

AxisWindow axis_h(const OperatorSpec& s) {
  return {s.k_h, s.stride_h, s.pad_h, s.pad_h, s.dilation_h};
}

AxisWindow axis_w(const OperatorSpec& s) {
  return {s.k_w, s.stride_w, s.pad_w, s.pad_w, s.dilation_w};
}

/// Where an output extent is given, the output's padding makes up for what is missing.
AxisWindow padded_to(std::int64_t out, std::int64_t in, AxisWindow axis, const std::string& op) {
  if (out == 0) return axis;
  const std::int64_t least = transposed_extent(op, in, axis);
  if (out < least) {
    throw ShapeError(op + ": the stated output extent is " + std::to_string(out) +
                     "; without output padding it is " + std::to_string(least));
  }
  axis.output_padding = out - least;
  return axis;
}

ConvNdOp transposed_conv2d(const OperatorSpec& s) {
  return {.c_out = s.c_out,
          .axes = {padded_to(s.h_out, s.h_in, axis_h(s), s.op),
                   padded_to(s.w_out, s.w_in, axis_w(s), s.op)},
          .groups = s.groups,
          .bias = s.bias,
          .transposed = true};
}

ConvNdOp conv3d(const OperatorSpec& s) {
  return {.c_out = s.c_out,
          .axes = {axis_h(s), axis_w(s), axis_w(s)},
          .groups = s.groups,
          .bias = s.bias};
}

/// Channels behind their pixels; of several groups, those of a pixel side by side.
int rearranged(Graph& graph, int x, const OperatorSpec& s) {
  const Shape in = graph.node(x).shape;
  if (s.groups > 1) {
    return graph.element({x}, s.op, {in[0], in[2], in[1], in[3]}, s.op, {0, 2, 1, 3});
  }
  return graph.element({x}, s.op, {in[0], in[2], in[3], in[1]}, s.op, {0, 3, 1, 2});
}

/// Makes a tensor that the operator reads.
using Source = std::function<int(const Shape& shape, const char* name)>;

bool is_optimizer(std::string_view op) {
  constexpr std::array<std::string_view, 4> names{"sgd", "momentum", "adam", "adamw"};
  return std::ranges::find(names, op) != names.end();
}

bool is_recurrent(std::string_view op) { return op == "lstm" || op == "gru"; }

/// Over rows of features, whatever the images.
bool is_token_norm(std::string_view op) { return op == "layer_norm" || op == "rms_norm"; }

/// Element operators of one tensor, which keep its shape.
bool is_unary(std::string_view op) {
  constexpr std::array<std::string_view, 4> names{"elu", "gelu_tanh", "mish", "softplus"};
  return std::ranges::find(names, op) != names.end();
}

std::optional<NormOp::Kind> norm_kind(std::string_view op) {
  if (op == "layer_norm") return NormOp::Kind::layer;
  if (op == "rms_norm") return NormOp::Kind::rms;
  if (op == "instance_norm") return NormOp::Kind::instance;
  if (op == "group_norm") return NormOp::Kind::group;
  return std::nullopt;
}

/// Returns its tensor; that of calls is the input.
int add_operator(Graph& graph, const Shape& shape, const Source& tensor, const OperatorSpec& s) {
  const int x = tensor(shape, "x");
  if (s.op == "call") {
    graph.set_calls(s.w_in);
    return x;
  }
  if (s.op == "conv2d") {
    return graph.conv2d(
        x, {.c_out = s.c_out, .window = window_of(s), .groups = s.groups, .bias = s.bias}, s.op);
  }
  if (s.op == "conv_transpose2d") return graph.conv_nd(x, transposed_conv2d(s), s.op);
  if (s.op == "conv3d") return graph.conv_nd(x, conv3d(s), s.op);
  if (is_optimizer(s.op)) {
    return graph.linear(x, {.out_features = s.c_out, .bias = s.bias}, s.op);
  }
  if (s.op == "linear") return graph.linear(x, {.out_features = s.c_out, .bias = s.bias}, s.op);
  if (s.op == "matmul") {
    return graph.matmul(x, tensor({s.batch, s.groups, s.c_in, s.c_out}, "other"), s.op);
  }
  if (s.op == "attention") {
    const std::int64_t depth = s.c_in / s.groups, v_depth = s.c_out / s.groups;
    const int k = tensor({s.batch, s.groups, s.w_in, depth}, "k");
    const int v = tensor({s.batch, s.groups, s.w_in, v_depth}, "v");
    return graph.attention({x, k, v}, {}, s.op);
  }
  if (is_recurrent(s.op)) {
    const auto cell = s.op == "lstm" ? RecurrentOp::Cell::lstm : RecurrentOp::Cell::gru;
    return graph.recurrent(x, {.cell = cell, .hidden = s.c_out}, s.op);
  }
  if (s.op == "mean") return graph.reduce(x, s.op, {2, 3}, false, s.op);
  if (const auto kind = norm_kind(s.op)) {
    return graph.norm(x, {.kind = *kind, .shift = s.op != "rms_norm"}, s.op);
  }
  if (s.op == "contiguous") return rearranged(graph, x, s);
  if (is_unary(s.op)) return graph.element({x}, s.op, {}, s.op);
  if (s.op == "interpolate_nearest" || s.op == "interpolate_bilinear") {
    const std::int64_t h_out = s.h_out > 0 ? s.h_out : checked_mul(2, s.h_in, "h_out");
    const std::int64_t w_out = s.w_out > 0 ? s.w_out : checked_mul(2, s.w_in, "w_out");
    return graph.element({x}, s.op, {s.batch, s.c_in, h_out, w_out}, s.op);
  }
  if (s.op == "batch_norm") return graph.batch_norm(x, s.op);
  if (s.op == "max_pool") return graph.pool(x, {.window = window_of(s)}, s.op);
  if (s.op == "avg_pool") {
    return graph.pool(x, {.kind = PoolOp::Kind::average, .window = window_of(s)}, s.op);
  }
  if (s.op == "global_avg_pool") return graph.global_avg_pool(x, s.op);
  if (s.op == "softmax") return graph.softmax(x, s.op);
  if (s.op == "add") return graph.add(x, tensor(shape, "other"), s.op);
  if (s.op == "mul") return graph.mul(x, tensor(shape, "other"), s.op);
  if (s.op == "gate") return graph.mul(x, tensor({s.batch, s.c_in, 1, 1}, "gate"), s.op);
  if (s.op == "concat") {
    require_at_least(s.op, "c_out", s.c_out, 1);
    const int other = tensor({s.batch, s.c_out - s.c_in, s.h_in, s.w_in}, "other");
    return graph.concat({x, other}, s.op);
  }
  try {
    return graph.activation(x, parse_activation(s.op), s.op);
  } catch (const UnsupportedError&) {
    throw UnsupportedError(
        "op '" + s.op +
        "' is not known; use conv2d, conv3d, conv_transpose2d, linear, matmul, attention, lstm, "
        "gru, layer_norm, rms_norm, batch_norm, instance_norm, group_norm, max_pool, avg_pool, "
        "global_avg_pool, mean, softmax, add, mul, gate, concat, contiguous, interpolate_nearest, "
        "interpolate_bilinear, call or an activation such as relu");
  }
}

void require_heads(const OperatorSpec& s) {
  if (s.groups >= 1 && s.c_in % s.groups == 0 && s.c_out % s.groups == 0) return;
  throw ShapeError(s.op + ": groups " + std::to_string(s.groups) +
                   ", the heads, must divide c_in " + std::to_string(s.c_in) + " and c_out " +
                   std::to_string(s.c_out));
}

/// [batch, channels, height, width], but for operators on rows of features and on matrices.
Shape input_shape(const OperatorSpec& s) {
  if (is_optimizer(s.op)) return {1, s.c_in};
  if (is_recurrent(s.op)) return {s.batch, s.w_in, s.c_in};
  if (s.op == "conv3d") return {s.batch, s.c_in, s.h_in, s.w_in, s.w_in};
  if (s.op == "contiguous" && s.groups > 1) {
    require_heads(s);
    return {s.batch, s.groups, checked_mul(s.h_in, s.w_in, "rows"), s.c_in / s.groups};
  }
  if (s.op == "matmul") return {s.batch, s.groups, s.h_in, s.c_in};
  if (s.op == "attention") {
    require_heads(s);
    return {s.batch, s.groups, s.h_in, s.c_in / s.groups};
  }
  const bool flat =
      s.op == "linear" || is_token_norm(s.op) || (s.op == "softmax" && s.h_in == 1 && s.w_in == 1);
  if (!flat) return {s.batch, s.c_in, s.h_in, s.w_in};
  return {checked_mul(s.batch, checked_mul(s.h_in, s.w_in, "rows"), "rows"), s.c_in};
}

/// The same with the operator's own window: padding that may not reproduce a given output extent.
Graph build(const OperatorSpec& s) {
  Graph graph(s.op, s.dtype);
  add_operator(
      graph, input_shape(s),
      [&graph](const Shape& shape, const char* name) { return graph.input(shape, name); }, s);
  return graph;
}

/// The row of a step of training in which something that trains made every operand.
Work work_in_training(const OperatorSpec& s) {
  Graph graph(s.op, s.dtype);
  add_operator(
      graph, input_shape(s),
      [&graph](const Shape& shape, const char* name) {
        return graph.custom({graph.input(shape)}, {.type = "before", .params = 1}, shape, name);
      },
      s);
  const Training training{.optimizer = is_optimizer(s.op) ? parse_optimizer(s.op) : Optimizer::none,
                          .recompute_attention = true};
  const WorkTable step = lower(graph, Mode::eager, training);
  const int last = static_cast<int>(graph.nodes().size()) - 1;
  for (std::size_t i = 0; i < step.size(); ++i) {
    if (step.node[i] == last && step.pass[i] == s.pass) return step.row(i);
  }
  throw UnsupportedError("op '" + s.op + "' launches nothing in the pass " +
                         std::string(to_string(s.pass)));
}

}  // namespace

Work work_of(const OperatorSpec& s) {
  if (is_optimizer(s.op) != (s.pass == Pass::optimizer)) {
    throw UnsupportedError("op '" + s.op + "' is not of the pass " +
                           std::string(to_string(s.pass)) +
                           "; sgd, momentum, adam and adamw are of the pass optimizer, and it is "
                           "of no other op");
  }
  if (s.op == "call") {
    if (s.pass == Pass::forward) return lower(build(s), Mode::eager).row(0);
    throw UnsupportedError("op 'call' is of the pass forward only");
  }
  if (s.training || s.pass != Pass::forward) return work_in_training(s);
  if (s.op == "conv2d" && s.h_out > 0 && s.w_out > 0) {
    Work w = conv_work({.batch = s.batch,
                        .c_in = s.c_in,
                        .h_in = s.h_in,
                        .w_in = s.w_in,
                        .c_out = s.c_out,
                        .k_h = s.k_h,
                        .k_w = s.k_w,
                        .stride_h = s.stride_h,
                        .stride_w = s.stride_w,
                        .h_out = s.h_out,
                        .w_out = s.w_out,
                        .groups = s.groups,
                        .padded_elements = padded_elements({s.batch, s.c_in, s.h_in, s.w_in},
                                                           window_of(s), "conv2d padded input"),
                        .bias = s.bias,
                        .dtype = s.dtype});
    w.op = op_code(s.op);
    return w;
  }
  const Graph graph = s.op == "conv3d" ? graph_of(s) : build(s);
  return work_of(graph, static_cast<int>(graph.nodes().size()) - 1);
}

Graph graph_of(const OperatorSpec& s) {
  Graph graph = build(s);
  const Shape& out = graph.nodes().back().shape;
  const bool is_image = s.op != "contiguous" && s.op != "matmul" && s.op != "attention";
  if (is_image && out.size() >= 4 &&
      ((s.h_out > 0 && out[2] != s.h_out) || (s.w_out > 0 && out[3] != s.w_out))) {
    throw ShapeError(s.op + ": no padding of a " + std::to_string(s.h_in) + " x " +
                     std::to_string(s.w_in) + " input gives the stated output " +
                     std::to_string(s.h_out) + " x " + std::to_string(s.w_out) + "; it is " +
                     std::to_string(out[2]) + " x " + std::to_string(out[3]));
  }
  return graph;
}

}  // namespace alphaflops
