#include "executor_step.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

#include "alphaflops/error.hpp"

namespace alphaflops {
Conv2dShape conv_shape(const Shape& in, const Conv2dOp& op) {
  const Window& w = op.window;
  return {.batch = in[0],
          .c_in = in[1],
          .h_in = in[2],
          .w_in = in[3],
          .c_out = op.c_out,
          .k_h = w.kernel[0],
          .k_w = w.kernel[1],
          .stride_h = w.stride[0],
          .stride_w = w.stride[1],
          .pad_top = w.pad[0],
          .pad_bottom = w.pad[1],
          .pad_left = w.pad[2],
          .pad_right = w.pad[3],
          .dilation_h = w.dilation[0],
          .dilation_w = w.dilation[1],
          .groups = op.groups};
}

namespace {

Pool2dShape pool_shape(const Node& node, const Shape& in, const PoolOp& op) {
  const Window& w = op.window;
  if (w.dilation[0] != 1 || w.dilation[1] != 1) {
    throw UnsupportedError(node.name + ": a pooling of dilation " + std::to_string(w.dilation[0]) +
                           " x " + std::to_string(w.dilation[1]) +
                           " has no native kernel; only dilation 1 does");
  }
  return {.batch = in[0],
          .channels = in[1],
          .h_in = in[2],
          .w_in = in[3],
          .k_h = w.kernel[0],
          .k_w = w.kernel[1],
          .stride_h = w.stride[0],
          .stride_w = w.stride[1],
          .pad_top = w.pad[0],
          .pad_bottom = w.pad[1],
          .pad_left = w.pad[2],
          .pad_right = w.pad[3],
          .ceil_mode = op.ceil_mode,
          .count_include_pad = op.count_include_pad};
}

/// Sizes as the kernels see them: an image is NHWC, channels last; anything else is rows of axis 1.
struct Extent {
  std::int64_t batch, pixels, channels;
};

Extent extent(const Shape& shape) {
  if (shape.size() == 4) return {shape[0], shape[2] * shape[3], shape[1]};
  return {shape[0], 1, element_count(shape) / shape[0]};
}

/// Whether the convolution's own last pass over its outputs can apply the activation.
bool in_epilogue(Activation activation) {
  return activation == Activation::none || activation == Activation::relu ||
         activation == Activation::relu6;
}

}  // namespace

void ExecutorStep::ConvCall::run(Isa isa, const StepArguments& a) const {
  const bool fused = in_epilogue(activation);
  plan.run(a.inputs[0], a.weights, a.shift, a.output, a.workspace,
           fused ? activation : Activation::none);
  if (!fused) activate(isa, activation, a.output, a.output, outputs);
}

void ExecutorStep::NormCall::run(Isa isa, const StepArguments& a) const {
  scale_shift(isa, a.inputs[0], a.weights, a.shift, a.output, pixels, channels, activation);
}

void ExecutorStep::ActivateCall::run(Isa isa, const StepArguments& a) const {
  activate(isa, activation, a.inputs[0], a.output, count);
}

void ExecutorStep::AddCall::run(Isa isa, const StepArguments& a) const {
  add(isa, a.inputs[0], a.inputs[1], a.output, count, activation);
}

void ExecutorStep::MultiplyCall::run(Isa isa, const StepArguments& a) const {
  multiply(isa, a.inputs[0], a.inputs[1], a.output, count);
}

void ExecutorStep::GateCall::run(Isa isa, const StepArguments& a) const {
  multiply_channels(isa, a.inputs[0], a.inputs[1], a.output, batch, pixels, channels);
}

void ExecutorStep::PoolCall::run(Isa isa, const StepArguments& a) const {
  pool2d(isa, kind, shape, a.inputs[0], a.output);
}

void ExecutorStep::GlobalPoolCall::run(Isa isa, const StepArguments& a) const {
  global_average_pool(isa, a.inputs[0], a.output, batch, pixels, channels);
}

void ExecutorStep::ConcatCall::run(Isa isa, const StepArguments& a) const {
  std::int64_t offset = 0;
  for (std::size_t i = 0; i < channels.size(); ++i) {
    copy_channels(isa, a.inputs[i], a.output, pixels, channels[i], total, offset);
    offset += channels[i];
  }
}

void ExecutorStep::SoftmaxCall::run(Isa isa, const StepArguments& a) const {
  softmax(isa, a.inputs[0], a.output, rows, columns);
}

void ExecutorStep::FillCall::run(Isa /*isa*/, const StepArguments& a) const {
  std::fill_n(a.output, count, 0.0F);
}

namespace {

bool has_kernel(const Operator& op) {
  if (const auto* element = std::get_if<ElementOp>(&op)) return element->type == "fill";
  return std::visit(
      [](const auto& o) {
        using T = std::decay_t<decltype(o)>;
        return std::is_same_v<T, Conv2dOp> || std::is_same_v<T, LinearOp> ||
               std::is_same_v<T, BatchNormOp> || std::is_same_v<T, ActivationOp> ||
               std::is_same_v<T, PoolOp> || std::is_same_v<T, GlobalPoolOp> ||
               std::is_same_v<T, AddOp> || std::is_same_v<T, MulOp> ||
               std::is_same_v<T, ConcatOp> || std::is_same_v<T, SoftmaxOp>;
      },
      op);
}

}  // namespace

ExecutorStep::Call ExecutorStep::prepare(const Graph& graph, const Node& lead,
                                         Activation activation, Isa isa) {
  if (lead.inputs.empty() || !has_kernel(lead.op)) {
    throw UnsupportedError(lead.name + ": operator '" + std::string(op_name(lead.op)) +
                           "' has no native kernel; the network cannot be run here");
  }
  const Shape& in = graph.node(lead.inputs[0]).shape;
  const std::int64_t outputs = element_count(lead.shape);
  const Extent size = extent(in);
  if (const auto* conv = std::get_if<Conv2dOp>(&lead.op)) {
    return ConvCall{Conv2d(conv_shape(in, *conv), isa), activation, outputs};
  }
  if (const auto* linear = std::get_if<LinearOp>(&lead.op)) {
    const Conv2dShape shape{
        .batch = outputs / linear->out_features, .c_in = in.back(), .c_out = linear->out_features};
    return ConvCall{Conv2d(shape, isa), activation, outputs};
  }
  if (std::holds_alternative<BatchNormOp>(lead.op)) {
    if (in.size() != 4 && in.size() != 2) {
      throw UnsupportedError(lead.name + ": a batch_norm of a tensor with " +
                             std::to_string(in.size()) +
                             " axes has no native kernel; give it 2 or 4 axes");
    }
    return NormCall{size.batch * size.pixels, size.channels, activation};
  }
  if (const auto* own = std::get_if<ActivationOp>(&lead.op)) {
    return ActivateCall{own->activation, outputs};
  }
  if (const auto* pool = std::get_if<PoolOp>(&lead.op)) {
    const PoolKind kind = pool->kind == PoolOp::Kind::max ? PoolKind::max : PoolKind::average;
    return PoolCall{kind, pool_shape(lead, in, *pool)};
  }
  if (std::holds_alternative<GlobalPoolOp>(lead.op)) {
    return GlobalPoolCall{size.batch, size.pixels, size.channels};
  }
  if (std::holds_alternative<AddOp>(lead.op)) return AddCall{outputs, activation};
  if (std::holds_alternative<MulOp>(lead.op)) {
    if (graph.node(lead.inputs[1]).shape == in) return MultiplyCall{outputs};
    return GateCall{size.batch, size.pixels, size.channels};
  }
  if (std::holds_alternative<ConcatOp>(lead.op)) {
    const Extent all = extent(lead.shape);
    ConcatCall call{all.batch * all.pixels, all.channels, {}};
    for (const int x : lead.inputs) call.channels.push_back(extent(graph.node(x).shape).channels);
    return call;
  }
  if (std::holds_alternative<ElementOp>(lead.op)) return FillCall{outputs};
  const std::int64_t columns = in.size() == 4 ? in[1] : in.back();
  return SoftmaxCall{outputs / columns, columns};
}

namespace {

Activation folded_activation(const Graph& graph, const std::vector<int>& folded) {
  if (folded.empty()) return Activation::none;
  const auto* last = std::get_if<ActivationOp>(&graph.node(folded.back()).op);
  return last == nullptr ? Activation::none : last->activation;
}

bool adds_a_shift(const Node& node) {
  if (const auto* conv = std::get_if<Conv2dOp>(&node.op)) return conv->bias;
  if (const auto* linear = std::get_if<LinearOp>(&node.op)) return linear->bias;
  return std::holds_alternative<BatchNormOp>(node.op);
}

}  // namespace

ExecutorStep::ExecutorStep(const Graph& graph, const WorkTable& work, std::size_t row, Isa isa)
    : isa_(isa),
      call_(prepare(graph, graph.node(work.node[row]), folded_activation(graph, work.folded[row]),
                    isa)) {
  const Node& lead = graph.node(work.node[row]);
  inputs_ = lead.inputs;
  output_ = work.folded[row].empty() ? work.node[row] : work.folded[row].back();
  bool shifts = adds_a_shift(lead);
  for (const int node : work.folded[row]) shifts = shifts || adds_a_shift(graph.node(node));
  if (const Conv2d* plan = conv()) {
    weight_floats_ = static_cast<std::int64_t>(plan->packed_size());
    workspace_floats_ = static_cast<std::int64_t>(plan->workspace_size());
    if (shifts) shift_floats_ = plan->shape().c_out;
  } else if (const auto* norm = std::get_if<NormCall>(&call_)) {
    weight_floats_ = shift_floats_ = norm->channels;
  }
}

const Conv2d* ExecutorStep::conv() const {
  const auto* call = std::get_if<ConvCall>(&call_);
  return call == nullptr ? nullptr : &call->plan;
}

void ExecutorStep::run(const StepArguments& arguments) const {
  std::visit([&](const auto& call) { call.run(isa_, arguments); }, call_);
}

}  // namespace alphaflops
