#include "graph_arguments.hpp"

#include "alphaflops/error.hpp"

namespace alphaflops::python {
namespace {

/// One size an axis.
Sizes sizes_of(const char* field, const SizesArg& arg, std::size_t axes) {
  if (const auto* all = std::get_if<std::int64_t>(&arg)) return Sizes(axes, *all);
  const Sizes& each = std::get<Sizes>(arg);
  if (each.size() != axes) {
    throw ShapeError(std::string(field) + " has " + std::to_string(each.size()) +
                     " sizes; the input has " + std::to_string(axes) + " spatial axes");
  }
  return each;
}

struct Attributes {
  py::dict found{};

  py::dict operator()(const ConstantOp& op) { return with("trainable", op.trainable); }
  py::dict operator()(const Conv2dOp& op) {
    add_window(op.window);
    return with("c_out", op.c_out, "groups", op.groups, "bias", op.bias);
  }
  py::dict operator()(const ConvNdOp& op) {
    add_windows(op.axes);
    Sizes sizes;
    for (const AxisWindow& axis : op.axes) sizes.push_back(axis.output_padding);
    with("output_padding", py::tuple(py::cast(sizes)), "transposed", op.transposed);
    return with("c_out", op.c_out, "groups", op.groups, "bias", op.bias);
  }
  py::dict operator()(const LinearOp& op) {
    return with("out_features", op.out_features, "bias", op.bias);
  }
  py::dict operator()(const AttentionOp& op) {
    return with("causal", op.scores == AttentionOp::Scores::causal);
  }
  py::dict operator()(const RecurrentOp& op) {
    with("cell", op_name(op), "hidden", op.hidden, "layers", op.layers);
    return with("bidirectional", op.bidirectional, "bias", op.bias, "projection", op.projection);
  }
  py::dict operator()(const NormOp& op) {
    constexpr std::array kinds{"layer", "rms", "instance", "group"};
    with("kind", kinds[static_cast<std::size_t>(op.kind)], "axes", op.axes);
    return with("scale", op.scale, "shift", op.shift);
  }
  py::dict operator()(const EmbeddingOp& op) {
    return with("rows", op.rows, "features", op.features);
  }
  py::dict operator()(const ActivationOp& op) { return with("function", to_string(op.activation)); }
  py::dict operator()(const PoolOp& op) {
    add_window(op.window);
    with("ceil_mode", op.ceil_mode);
    return op.kind == PoolOp::Kind::max ? found : with("count_include_pad", op.count_include_pad);
  }
  py::dict operator()(const PoolNdOp& op) {
    add_windows(op.axes);
    return with("kind", name_of(op.kind), "ceil_mode", op.ceil_mode);
  }
  py::dict operator()(const AdaptivePoolOp& op) {
    return with("kind", name_of(op.kind), "extent", py::tuple(py::cast(op.extent)));
  }
  py::dict operator()(const ElementOp& op) {
    if (!op.order.empty()) with("order", py::tuple(py::cast(op.order)));
    return with("type", op.type);
  }
  py::dict operator()(const ConcatOp& op) { return with("axis", op.axis); }
  py::dict operator()(const CustomOp& op) {
    return with("type", op.type, "macs", op.macs, "flops", op.flops, "params", op.params);
  }
  py::dict operator()(const UnknownOp& op) { return with("type", op.type); }
  template <typename T>
  py::dict operator()(const T&) {
    return found;
  }

 private:
  static const char* name_of(PoolOp::Kind kind) {
    return kind == PoolOp::Kind::max ? "max" : "avg";
  }

  py::dict with() { return found; }
  template <typename T, typename... Rest>
  py::dict with(const char* name, const T& value, const Rest&... rest) {
    found[name] = value;
    return with(rest...);
  }

  void add_window(const Window& window) {
    with("kernel", py::tuple(py::cast(window.kernel)), "stride", py::tuple(py::cast(window.stride)),
         "padding", py::tuple(py::cast(window.pad)), "dilation",
         py::tuple(py::cast(window.dilation)));
  }
  void add_windows(const std::vector<AxisWindow>& axes) {
    Sizes kernel, stride, dilation, pad;
    for (const AxisWindow& axis : axes) {
      kernel.push_back(axis.kernel);
      stride.push_back(axis.stride);
      dilation.push_back(axis.dilation);
      pad.insert(pad.end(), {axis.pad_before, axis.pad_after});
    }
    with("kernel", py::tuple(py::cast(kernel)), "stride", py::tuple(py::cast(stride)), "padding",
         py::tuple(py::cast(pad)), "dilation", py::tuple(py::cast(dilation)));
  }
};

struct Method {
  const char* operator()(const Input&) const { return "input"; }
  const char* operator()(const ConstantOp&) const { return "constant"; }
  const char* operator()(const Conv2dOp&) const { return "conv2d"; }
  const char* operator()(const ConvNdOp&) const { return "conv"; }
  const char* operator()(const LinearOp&) const { return "linear"; }
  const char* operator()(const MatmulOp&) const { return "matmul"; }
  const char* operator()(const AttentionOp&) const { return "attention"; }
  const char* operator()(const RecurrentOp&) const { return "recurrent"; }
  const char* operator()(const BatchNormOp&) const { return "batch_norm"; }
  const char* operator()(const NormOp&) const { return "norm"; }
  const char* operator()(const EmbeddingOp&) const { return "embedding"; }
  const char* operator()(const ActivationOp&) const { return "activation"; }
  const char* operator()(const PoolOp& op) const {
    return op.kind == PoolOp::Kind::max ? "max_pool" : "avg_pool";
  }
  const char* operator()(const PoolNdOp&) const { return "pool"; }
  const char* operator()(const AdaptivePoolOp&) const { return "adaptive_pool"; }
  const char* operator()(const GlobalPoolOp&) const { return "global_avg_pool"; }
  const char* operator()(const AddOp&) const { return "add"; }
  const char* operator()(const MulOp&) const { return "mul"; }
  const char* operator()(const ElementOp&) const { return "element"; }
  const char* operator()(const ConcatOp&) const { return "concat"; }
  const char* operator()(const FlattenOp&) const { return "view"; }
  const char* operator()(const PartOp&) const { return "part"; }
  const char* operator()(const SoftmaxOp&) const { return "softmax"; }
  const char* operator()(const CustomOp&) const { return "custom"; }
  const char* operator()(const UnknownOp&) const { return "unknown"; }
};

}  // namespace

Pair pair_of(const PairArg& arg) {
  if (const auto* both = std::get_if<std::int64_t>(&arg)) return {*both, *both};
  return std::get<Pair>(arg);
}

Quad pad_of(const PadArg& arg) {
  if (const auto* all = std::get_if<std::int64_t>(&arg)) return {*all, *all, *all, *all};
  if (const auto* p = std::get_if<Pair>(&arg)) return {(*p)[0], (*p)[0], (*p)[1], (*p)[1]};
  return std::get<Quad>(arg);
}

std::vector<AxisWindow> windows_of(const Graph& g, int x, const SizesArg& kernel,
                                   const SizesArg& stride, const SizesArg& padding,
                                   const SizesArg& dilation, const SizesArg& output_padding) {
  const std::size_t rank = g.node(x).shape.size();
  const std::size_t axes = rank > 2 ? rank - 2 : 0;
  const Sizes k = sizes_of("kernel", kernel, axes), s = sizes_of("stride", stride, axes),
              d = sizes_of("dilation", dilation, axes),
              o = sizes_of("output_padding", output_padding, axes);
  Sizes pad;
  if (const auto* each = std::get_if<Sizes>(&padding); each && each->size() == 2 * axes) {
    pad = *each;
  } else {
    for (const std::int64_t size : sizes_of("padding", padding, axes))
      pad.insert(pad.end(), 2, size);
  }
  std::vector<AxisWindow> windows(axes);
  for (std::size_t i = 0; i < axes; ++i) {
    windows[i] = {.kernel = k[i],
                  .stride = s[i],
                  .pad_before = pad[2 * i],
                  .pad_after = pad[2 * i + 1],
                  .dilation = d[i],
                  .output_padding = o[i]};
  }
  return windows;
}

PoolOp::Kind pool_kind(const std::string& kind) {
  if (kind == "max") return PoolOp::Kind::max;
  if (kind == "avg") return PoolOp::Kind::average;
  throw UnsupportedError("pool '" + kind + "' is not known; use max or avg");
}

RecurrentOp::Cell recurrent_cell(const std::string& cell) {
  if (cell == "rnn") return RecurrentOp::Cell::rnn;
  if (cell == "lstm") return RecurrentOp::Cell::lstm;
  if (cell == "gru") return RecurrentOp::Cell::gru;
  throw UnsupportedError("cell '" + cell + "' is not known; use rnn, lstm or gru");
}

NormOp::Kind norm_kind(const std::string& kind) {
  if (kind == "layer") return NormOp::Kind::layer;
  if (kind == "rms") return NormOp::Kind::rms;
  if (kind == "instance") return NormOp::Kind::instance;
  if (kind == "group") return NormOp::Kind::group;
  throw UnsupportedError("norm '" + kind + "' is not known; use layer, rms, instance or group");
}

PoolOp pool_op(PoolOp::Kind kind, const PairArg& kernel, const std::optional<PairArg>& stride,
               const PadArg& padding, const PairArg& dilation, bool ceil_mode, bool count_pad) {
  return {.kind = kind,
          .window = {.kernel = pair_of(kernel),
                     .stride = pair_of(stride.value_or(kernel)),
                     .pad = pad_of(padding),
                     .dilation = pair_of(dilation)},
          .ceil_mode = ceil_mode,
          .count_include_pad = count_pad};
}

const char* method_of(const Operator& op) { return std::visit(Method{}, op); }

py::dict attributes_of(const Operator& op) { return std::visit(Attributes{}, op); }

}  // namespace alphaflops::python
