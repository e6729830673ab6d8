#include <pybind11/stl.h>

#include <variant>

#include "alphaflops/error.hpp"
#include "alphaflops/graph.hpp"
#include "bindings.hpp"

namespace alphaflops::python {
namespace {

using Pair = std::array<std::int64_t, 2>;
using Quad = std::array<std::int64_t, 4>;
using PairArg = std::variant<std::int64_t, Pair>;
using PadArg = std::variant<std::int64_t, Pair, Quad>;

Pair pair_of(const PairArg& arg) {
  if (const auto* both = std::get_if<std::int64_t>(&arg)) return {*both, *both};
  return std::get<Pair>(arg);
}

Quad pad_of(const PadArg& arg) {
  if (const auto* all = std::get_if<std::int64_t>(&arg)) return {*all, *all, *all, *all};
  if (const auto* p = std::get_if<Pair>(&arg)) return {(*p)[0], (*p)[0], (*p)[1], (*p)[1]};
  return std::get<Quad>(arg);
}

using Sizes = std::vector<std::int64_t>;
using SizesArg = std::variant<std::int64_t, Sizes>;

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

/// Windows over every axis behind [batch, channels]. Padding: one size, one an axis, or two an
/// axis, before and after.
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

/// The keyword arguments of the method that makes `op`, its operands, shape and name aside.
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
    if (op.kind == PoolOp::Kind::max) return with("ceil_mode", op.ceil_mode);
    if (op.window.dilation == Pair{1, 1}) found.attr("pop")("dilation");
    return with("ceil_mode", op.ceil_mode, "count_include_pad", op.count_include_pad);
  }
  py::dict operator()(const PoolNdOp& op) {
    add_windows(op.axes);
    return with("kind", name_of(op.kind), "ceil_mode", op.ceil_mode);
  }
  py::dict operator()(const AdaptivePoolOp& op) {
    return with("kind", name_of(op.kind), "extent", py::tuple(py::cast(op.extent)));
  }
  py::dict operator()(const ElementOp& op) { return with("type", op.type); }
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

/// The method of Graph that makes a node.
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

void bind_graph(py::module_& m) {
  using py::arg;
  py::list ops;
  for (const std::string_view name : element_ops()) ops.append(std::string(name));
  m.attr("ELEMENT_OPS") = py::tuple(ops);
  py::class_<Graph>(m, "Graph")
      .def(py::init([](std::string name, const std::string& dtype) {
             return Graph(std::move(name), parse_dtype(dtype));
           }),
           arg("name") = "graph", arg("dtype") = "fp32")
      .def_property_readonly("name", &Graph::name)
      .def_property_readonly("dtype",
                             [](const Graph& g) { return std::string(to_string(g.dtype())); })
      .def_property_readonly("batch", &Graph::batch)
      .def("__len__", [](const Graph& g) { return g.nodes().size(); })
      .def("__repr__",
           [](const Graph& g) {
             return "Graph('" + g.name() + "', " + std::to_string(g.nodes().size()) +
                    " nodes, batch " + std::to_string(g.batch()) + ", " +
                    std::string(to_string(g.dtype())) + ")";
           })
      .def(
          "node_name", [](const Graph& g, int t) { return g.node(t).name; }, arg("tensor"))
      .def(
          "node_op", [](const Graph& g, int t) { return std::string(op_name(g.node(t).op)); },
          arg("tensor"))
      .def(
          "node_inputs", [](const Graph& g, int t) { return g.node(t).inputs; }, arg("tensor"))
      .def(
          "node_method", [](const Graph& g, int t) { return std::visit(Method{}, g.node(t).op); },
          arg("tensor"))
      .def(
          "node_attributes",
          [](const Graph& g, int t) { return std::visit(Attributes{}, g.node(t).op); },
          arg("tensor"))
      .def(
          "shape", [](const Graph& g, int t) { return py::tuple(py::cast(g.node(t).shape)); },
          arg("tensor"))
      .def("with_batch", &Graph::with_batch, arg("batch"))
      .def(
          "with_dtype",
          [](const Graph& g, const std::string& dtype) { return g.with_dtype(parse_dtype(dtype)); },
          arg("dtype"))
      .def("input", &Graph::input, arg("shape"), arg("name") = "")
      .def(
          "conv2d",
          [](Graph& g, int x, std::int64_t c_out, const PairArg& kernel, const PairArg& stride,
             const PadArg& padding, const PairArg& dilation, std::int64_t groups, bool bias,
             std::string name) {
            return g.conv2d(x,
                            {.c_out = c_out,
                             .window = {.kernel = pair_of(kernel),
                                        .stride = pair_of(stride),
                                        .pad = pad_of(padding),
                                        .dilation = pair_of(dilation)},
                             .groups = groups,
                             .bias = bias},
                            std::move(name));
          },
          arg("x"), arg("c_out"), arg("kernel") = 1, arg("stride") = 1, arg("padding") = 0,
          arg("dilation") = 1, arg("groups") = 1, arg("bias") = false, arg("name") = "")
      .def(
          "linear",
          [](Graph& g, int x, std::int64_t out_features, bool bias, std::string name) {
            return g.linear(x, {.out_features = out_features, .bias = bias}, std::move(name));
          },
          arg("x"), arg("out_features"), arg("bias") = false, arg("name") = "")
      .def("batch_norm", &Graph::batch_norm, arg("x"), arg("name") = "")
      .def(
          "activation",
          [](Graph& g, int x, const std::string& function, std::string name) {
            return g.activation(x, parse_activation(function), std::move(name));
          },
          arg("x"), arg("function"), arg("name") = "")
      .def(
          "relu",
          [](Graph& g, int x, std::string name) {
            return g.activation(x, Activation::relu, std::move(name));
          },
          arg("x"), arg("name") = "")
      .def(
          "max_pool",
          [](Graph& g, int x, const PairArg& kernel, const std::optional<PairArg>& stride,
             const PadArg& padding, const PairArg& dilation, bool ceil_mode, std::string name) {
            return g.pool(
                x, pool_op(PoolOp::Kind::max, kernel, stride, padding, dilation, ceil_mode, false),
                std::move(name));
          },
          arg("x"), arg("kernel"), arg("stride") = py::none(), arg("padding") = 0,
          arg("dilation") = 1, arg("ceil_mode") = false, arg("name") = "")
      .def(
          "avg_pool",
          [](Graph& g, int x, const PairArg& kernel, const std::optional<PairArg>& stride,
             const PadArg& padding, bool ceil_mode, bool count_include_pad, std::string name) {
            return g.pool(x,
                          pool_op(PoolOp::Kind::average, kernel, stride, padding, PairArg{1},
                                  ceil_mode, count_include_pad),
                          std::move(name));
          },
          arg("x"), arg("kernel"), arg("stride") = py::none(), arg("padding") = 0,
          arg("ceil_mode") = false, arg("count_include_pad") = true, arg("name") = "")
      .def("global_avg_pool", &Graph::global_avg_pool, arg("x"), arg("name") = "")
      .def(
          "conv",
          [](Graph& g, int x, std::int64_t c_out, const SizesArg& kernel, const SizesArg& stride,
             const SizesArg& padding, const SizesArg& dilation, std::int64_t groups, bool bias,
             bool transposed, const SizesArg& output_padding, std::string name) {
            ConvNdOp op{.c_out = c_out,
                        .axes = windows_of(g, x, kernel, stride, padding, dilation, output_padding),
                        .groups = groups,
                        .bias = bias,
                        .transposed = transposed};
            return g.conv_nd(x, std::move(op), std::move(name));
          },
          arg("x"), arg("c_out"), arg("kernel") = 1, arg("stride") = 1, arg("padding") = 0,
          arg("dilation") = 1, arg("groups") = 1, arg("bias") = false, arg("transposed") = false,
          arg("output_padding") = 0, arg("name") = "")
      .def(
          "pool",
          [](Graph& g, int x, const std::string& kind, const SizesArg& kernel,
             const std::optional<SizesArg>& stride, const SizesArg& padding,
             const SizesArg& dilation, bool ceil_mode, std::string name) {
            PoolNdOp op{.kind = pool_kind(kind),
                        .axes = windows_of(g, x, kernel, stride.value_or(kernel), padding, dilation,
                                           std::int64_t{0}),
                        .ceil_mode = ceil_mode};
            return g.pool_nd(x, std::move(op), std::move(name));
          },
          arg("x"), arg("kind"), arg("kernel"), arg("stride") = py::none(), arg("padding") = 0,
          arg("dilation") = 1, arg("ceil_mode") = false, arg("name") = "")
      .def(
          "adaptive_pool",
          [](Graph& g, int x, const std::string& kind, Sizes extent, std::string name) {
            return g.adaptive_pool(x, {pool_kind(kind), std::move(extent)}, std::move(name));
          },
          arg("x"), arg("kind"), arg("extent"), arg("name") = "")
      .def("constant", &Graph::constant, arg("shape"), arg("trainable") = false, arg("name") = "")
      .def("matmul", &Graph::matmul, arg("a"), arg("b"), arg("name") = "")
      .def(
          "attention",
          [](Graph& g, int q, int k, int v, std::optional<int> mask, bool causal,
             std::string name) {
            std::vector<int> inputs{q, k, v};
            if (mask) inputs.push_back(*mask);
            const auto scores = causal ? AttentionOp::Scores::causal : AttentionOp::Scores::all;
            return g.attention(std::move(inputs), {scores}, std::move(name));
          },
          arg("q"), arg("k"), arg("v"), arg("mask") = py::none(), arg("causal") = false,
          arg("name") = "")
      .def(
          "recurrent",
          [](Graph& g, int x, const std::string& cell, std::int64_t hidden, std::int64_t layers,
             bool bidirectional, bool bias, std::int64_t projection, std::string name) {
            return g.recurrent(x,
                               {.cell = recurrent_cell(cell),
                                .hidden = hidden,
                                .layers = layers,
                                .bidirectional = bidirectional,
                                .bias = bias,
                                .projection = projection},
                               std::move(name));
          },
          arg("x"), arg("cell"), arg("hidden"), arg("layers") = 1, arg("bidirectional") = false,
          arg("bias") = true, arg("projection") = 0, arg("name") = "")
      .def(
          "norm",
          [](Graph& g, int x, const std::string& kind, std::int64_t axes, bool scale, bool shift,
             std::string name) {
            return g.norm(x,
                          {.kind = norm_kind(kind), .axes = axes, .scale = scale, .shift = shift},
                          std::move(name));
          },
          arg("x"), arg("kind"), arg("axes") = 1, arg("scale") = true, arg("shift") = true,
          arg("name") = "")
      .def(
          "embedding",
          [](Graph& g, int indices, std::int64_t rows, std::int64_t features, std::string name) {
            return g.embedding(indices, {rows, features}, std::move(name));
          },
          arg("indices"), arg("rows"), arg("features"), arg("name") = "")
      .def("element", &Graph::element, arg("inputs"), arg("type"), arg("shape") = Shape{},
           arg("name") = "")
      .def("reduce", &Graph::reduce, arg("x"), arg("type"),
           arg("axes") = std::vector<std::int64_t>{}, arg("keep_axes") = false, arg("name") = "")
      .def("part", &Graph::part, arg("x"), arg("shape"), arg("name") = "")
      .def(
          "custom",
          [](Graph& g, std::vector<int> inputs, std::string type, Shape shape, std::int64_t macs,
             std::int64_t flops, std::int64_t params, std::string name) {
            return g.custom(std::move(inputs), {std::move(type), macs, flops, params},
                            std::move(shape), std::move(name));
          },
          arg("inputs"), arg("type"), arg("shape"), arg("macs") = 0, arg("flops") = 0,
          arg("params") = 0, arg("name") = "")
      .def("tie", &Graph::tie, arg("tensor"), arg("to"))
      .def(
          "tied_to", [](const Graph& g, int t) { return g.node(t).tied_to; }, arg("tensor"))
      .def("add", &Graph::add, arg("a"), arg("b"), arg("name") = "")
      .def("mul", &Graph::mul, arg("a"), arg("b"), arg("name") = "")
      .def("concat", &Graph::concat, arg("inputs"), arg("name") = "", arg("axis") = 1)
      .def("flatten", &Graph::flatten, arg("x"), arg("name") = "")
      .def("view", &Graph::view, arg("x"), arg("shape"), arg("name") = "")
      .def("softmax", &Graph::softmax, arg("x"), arg("name") = "")
      .def("unknown", &Graph::unknown, arg("inputs"), arg("type"), arg("shape"), arg("name") = "");
}

}  // namespace alphaflops::python
