#include "alphaflops/work.hpp"

#include <array>
#include <numeric>
#include <utility>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

constexpr std::array<std::string_view, kind_count> kind_names{
    "conv_1x1", "conv_spatial", "conv_grouped", "linear", "elementwise",
    "norm",     "pool",         "softmax",      "copy",   "unknown"};

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

/// Product of positive factors, checked, naming the layer.
template <typename... Factors>
std::int64_t product(const char* what, std::int64_t first, Factors... rest) {
  ((first = checked_mul(first, rest, what)), ...);
  return first;
}

bool is_folded_into_conv(const Node& node) {
  return std::holds_alternative<BatchNormOp>(node.op) ||
         std::holds_alternative<ActivationOp>(node.op);
}

bool has_bias(const Node& node) {
  if (const auto* conv = std::get_if<Conv2dOp>(&node.op)) return conv->bias;
  if (const auto* linear = std::get_if<LinearOp>(&node.op)) return linear->bias;
  return false;
}

/// Whether `next` can run in the launch that `lead` starts, given what is folded already.
bool can_fold(const Node& lead, const Node& next, bool has_activation) {
  if (has_activation || !is_folded_into_conv(next)) return false;
  const bool multiplies =
      std::holds_alternative<Conv2dOp>(lead.op) || std::holds_alternative<LinearOp>(lead.op);
  // The norm is over axis 1, which is a linear layer's output only where it has two axes.
  if (std::holds_alternative<BatchNormOp>(next.op)) {
    return std::holds_alternative<Conv2dOp>(lead.op) || (multiplies && lead.shape.size() == 2);
  }
  return multiplies || std::holds_alternative<AddOp>(lead.op) ||
         std::holds_alternative<BatchNormOp>(lead.op);
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
  w.weights_read = product(what, w.c_in, w.c_out);
  w.macs = product(what, w.batch, w.weights_read);
  w.biased = op.bias;
  if (op.bias) w.weights_read = checked_add(w.weights_read, w.c_out, what);
  w.params = w.weights_read;
  w.flops = checked_add(checked_mul(2, w.macs, what), op.bias ? w.elements_written : 0, what);
}

void count_pool(Work& w, const Node& node, const PoolOp& op) {
  w.kind = Kind::pool;
  w.kernel_volume = product(node.name.c_str(), op.window.kernel[0], op.window.kernel[1]);
  w.kernel_width = op.window.kernel[1];
  w.stride = product(node.name.c_str(), op.window.stride[0], op.window.stride[1]);
  w.flops = product(node.name.c_str(), w.elements_written, w.kernel_volume);
}

}  // namespace

std::string_view to_string(Kind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

Kind parse_kind(std::string_view name) {
  for (std::size_t i = 0; i < kind_names.size(); ++i) {
    if (kind_names[i] == name) return static_cast<Kind>(i);
  }
  std::string known;
  for (const std::string_view n : kind_names) known += (known.empty() ? "" : ", ") + std::string(n);
  throw UnsupportedError("kind '" + std::string(name) + "' is not known; use one of " + known);
}

std::string_view to_string(Mode mode) { return mode == Mode::fused ? "fused" : "eager"; }

Mode parse_mode(std::string_view name) {
  if (name == "fused") return Mode::fused;
  if (name == "eager") return Mode::eager;
  throw UnsupportedError("mode '" + std::string(name) + "' is not known; use fused or eager");
}

std::string_view to_string(Pass) { return "forward"; }

void WorkTable::reserve(std::size_t rows) {
  kind.reserve(rows);
  pass.reserve(rows);
  dtype.reserve(rows);
  for (auto* column : {&batch, &groups, &c_in, &c_out, &spatial, &width, &kernel_volume,
                       &kernel_width, &stride, &activations_read, &weights_read, &elements_written,
                       &padded_elements, &macs, &flops, &params}) {
    column->reserve(rows);
  }
  biased.reserve(rows);
  node.reserve(rows);
  folded.reserve(rows);
}

void WorkTable::append(const Work& w, int lead, std::vector<int> also) {
  kind.push_back(w.kind);
  pass.push_back(w.pass);
  dtype.push_back(w.dtype);
  batch.push_back(w.batch);
  groups.push_back(w.groups);
  c_in.push_back(w.c_in);
  c_out.push_back(w.c_out);
  spatial.push_back(w.spatial);
  width.push_back(w.width);
  kernel_volume.push_back(w.kernel_volume);
  kernel_width.push_back(w.kernel_width);
  stride.push_back(w.stride);
  activations_read.push_back(w.activations_read);
  weights_read.push_back(w.weights_read);
  elements_written.push_back(w.elements_written);
  padded_elements.push_back(w.padded_elements);
  biased.push_back(w.biased ? 1 : 0);
  macs.push_back(w.macs);
  flops.push_back(w.flops);
  params.push_back(w.params);
  node.push_back(lead);
  folded.push_back(std::move(also));
}

Work WorkTable::row(std::size_t i) const {
  return {.kind = kind.at(i),
          .pass = pass[i],
          .dtype = dtype[i],
          .batch = batch[i],
          .groups = groups[i],
          .c_in = c_in[i],
          .c_out = c_out[i],
          .spatial = spatial[i],
          .width = width[i],
          .kernel_volume = kernel_volume[i],
          .kernel_width = kernel_width[i],
          .stride = stride[i],
          .activations_read = activations_read[i],
          .weights_read = weights_read[i],
          .elements_written = elements_written[i],
          .padded_elements = padded_elements[i],
          .biased = biased[i] != 0,
          .macs = macs[i],
          .flops = flops[i],
          .params = params[i]};
}

WorkTable WorkTable::take(std::span<const std::int64_t> rows) const {
  WorkTable taken;
  taken.reserve(rows.size());
  for (const std::int64_t i : rows) {
    if (i < 0 || static_cast<std::size_t>(i) >= size()) {
      throw ShapeError("row " + std::to_string(i) + " is not there; the work table has " +
                       std::to_string(size()) + " rows");
    }
    const auto at = static_cast<std::size_t>(i);
    taken.append(row(at), node[at], folded[at]);
  }
  return taken;
}

WorkTable join(std::span<const WorkTable* const> tables) {
  WorkTable all;
  std::size_t rows = 0;
  for (const WorkTable* table : tables) rows += table->size();
  all.reserve(rows);
  for (const WorkTable* table : tables) {
    for (std::size_t i = 0; i < table->size(); ++i) all.append(table->row(i));
  }
  return all;
}

std::int64_t padded_elements(const Shape& in, const Window& window, const char* what) {
  const auto& [top, bottom, left, right] = window.pad;
  if (top == bottom && left == right) return 0;
  const std::int64_t height = checked_add(in[2], checked_add(top, bottom, what), what);
  const std::int64_t width = checked_add(in[3], checked_add(left, right, what), what);
  return product(what, in[0], in[1], height, width);
}

Work conv_work(const ConvSpec& s) {
  const auto require_positive = [](const char* field, std::int64_t value) {
    if (value < 1) {
      throw ShapeError(std::string("conv2d: ") + field + " is " + std::to_string(value) +
                       "; it must be at least 1");
    }
  };
  require_positive("batch", s.batch);
  require_positive("c_in", s.c_in);
  require_positive("h_in", s.h_in);
  require_positive("w_in", s.w_in);
  require_positive("c_out", s.c_out);
  require_positive("k_h", s.k_h);
  require_positive("k_w", s.k_w);
  require_positive("stride_h", s.stride_h);
  require_positive("stride_w", s.stride_w);
  require_positive("h_out", s.h_out);
  require_positive("w_out", s.w_out);
  require_positive("groups", s.groups);
  if (s.c_in % s.groups != 0 || s.c_out % s.groups != 0) {
    throw ShapeError("conv2d: groups " + std::to_string(s.groups) + " must divide c_in " +
                     std::to_string(s.c_in) + " and c_out " + std::to_string(s.c_out));
  }
  Work w;
  w.dtype = s.dtype;
  w.batch = s.batch;
  w.groups = s.groups;
  w.c_in = s.c_in;
  w.c_out = s.c_out;
  w.spatial = product("conv2d output extent", s.h_out, s.w_out);
  w.width = s.w_out;
  w.kernel_volume = product("conv2d kernel volume", s.k_h, s.k_w);
  w.kernel_width = s.k_w;
  w.padded_elements = s.padded_elements;
  w.biased = s.bias;
  w.stride = product("conv2d stride", s.stride_h, s.stride_w);
  w.kind = s.groups > 1           ? Kind::conv_grouped
           : w.kernel_volume == 1 ? Kind::conv_1x1
                                  : Kind::conv_spatial;
  w.activations_read = product("conv2d input elements", s.batch, s.c_in, s.h_in, s.w_in);
  w.elements_written = product("conv2d output elements", s.batch, s.c_out, w.spatial);
  w.weights_read = product("conv2d weights", s.c_out, s.c_in / s.groups, w.kernel_volume);
  w.macs = product("conv2d MACs", s.batch, w.spatial, w.weights_read);
  if (s.bias) w.weights_read = checked_add(w.weights_read, s.c_out, "conv2d weights");
  w.params = w.weights_read;
  w.flops = checked_add(checked_mul(2, w.macs, "conv2d FLOPs"), s.bias ? w.elements_written : 0,
                        "conv2d FLOPs");
  return w;
}

Work work_of(const Graph& graph, int index) {
  const Node& node = graph.node(index);
  const char* what = node.name.c_str();
  Work w;
  w.dtype = graph.dtype();
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
  if (node.inputs.empty()) return w;  // an input: nothing is launched
  const Shape& in = graph.node(node.inputs[0]).shape;
  if (!in.empty()) w.c_in = in.size() == 4 ? in[1] : in.back();

  if (const auto* conv = std::get_if<Conv2dOp>(&node.op)) {
    count_conv(w, node, in, *conv);
  } else if (const auto* linear = std::get_if<LinearOp>(&node.op)) {
    count_linear(w, node, in, *linear);
  } else if (std::holds_alternative<BatchNormOp>(node.op)) {
    w.kind = Kind::norm;
    w.weights_read = checked_mul(2, in[1], what);  // scale and shift
    w.params = w.weights_read;
    w.flops = product(what, 2, w.elements_written);
  } else if (const auto* activation = std::get_if<ActivationOp>(&node.op)) {
    w.kind = Kind::elementwise;
    w.flops = product(what, w.elements_written, flops_per_element(activation->activation));
  } else if (const auto* pool = std::get_if<PoolOp>(&node.op)) {
    count_pool(w, node, *pool);
  } else if (std::holds_alternative<GlobalPoolOp>(node.op)) {
    w.kind = Kind::pool;
    w.kernel_volume = product(what, in[2], in[3]);
    w.kernel_width = in[3];
    w.flops = w.activations_read;
  } else if (std::holds_alternative<AddOp>(node.op) || std::holds_alternative<MulOp>(node.op)) {
    w.kind = Kind::elementwise;
    w.flops = w.elements_written;
  } else if (std::holds_alternative<ConcatOp>(node.op)) {
    w.kind = Kind::copy;
  } else if (std::holds_alternative<SoftmaxOp>(node.op)) {
    w.kind = Kind::softmax;
    w.flops = product(what, 5, w.elements_written);  // max, subtract, exp, sum, divide
  }
  return w;
}

WorkTable lower(const Graph& graph, Mode mode) {
  const std::vector<Node>& nodes = graph.nodes();
  const std::vector<std::vector<int>> consumers = graph.consumers();
  std::vector<bool> done(nodes.size(), false);
  WorkTable table;
  table.reserve(nodes.size());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& lead = nodes[i];
    const bool is_view =
        std::holds_alternative<Input>(lead.op) || std::holds_alternative<FlattenOp>(lead.op);
    if (done[i] || is_view) continue;
    Work w = work_of(graph, static_cast<int>(i));
    std::vector<int> folded;
    if (mode == Mode::fused) {
      bool has_activation = false;
      bool biased = has_bias(lead);
      for (int last = static_cast<int>(i);;) {
        const std::vector<int>& next = consumers[static_cast<std::size_t>(last)];
        if (next.size() != 1) break;
        const Node& follower = nodes[static_cast<std::size_t>(next[0])];
        if (!can_fold(lead, follower, has_activation)) break;
        has_activation = std::holds_alternative<ActivationOp>(follower.op);
        const Work extra = work_of(graph, next[0]);
        w.params = checked_add(w.params, extra.params, follower.name.c_str());
        if (has_activation) {
          w.flops = checked_add(w.flops, extra.flops, follower.name.c_str());
        } else if (!biased) {
          // A folded norm scales the weights beforehand; what is left of it is a bias.
          biased = w.biased = true;
          w.flops = checked_add(w.flops, w.elements_written, follower.name.c_str());
          w.weights_read = checked_add(w.weights_read, w.c_out, follower.name.c_str());
        }
        last = next[0];
        folded.push_back(last);
        done[static_cast<std::size_t>(last)] = true;
      }
    }
    table.append(w, static_cast<int>(i), std::move(folded));
  }
  return table;
}

}  // namespace alphaflops
