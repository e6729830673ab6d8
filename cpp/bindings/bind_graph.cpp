#include "bindings.hpp"
#include "graph_arguments.hpp"

namespace alphaflops::python {

void bind_graph(py::module_& m) {
  using py::arg;
  py::list ops;
  for (const std::string_view name : element_ops()) ops.append(std::string(name));
  m.attr("ELEMENT_OPS") = py::tuple(ops);
  py::class_<Graph>(m, "Graph", R"doc(Operators with tensor shapes and edges: device-free and exact.

A tensor is the integer that the method which made it returned. Image tensors are
[batch, channels, height, width]. Every method raises ShapeError naming the layer and the
field for sizes that no operator can have, and OverflowError for counts beyond 2^63 - 1.)doc")
      .def(py::init([](std::string name, const std::string& dtype) {
             return Graph(std::move(name), parse_dtype(dtype));
           }),
           arg("name") = "graph", arg("dtype") = "fp32")
      .def_property_readonly("name", &Graph::name)
      .def_property_readonly("dtype",
                             [](const Graph& g) { return std::string(to_string(g.dtype())); })
      .def_property_readonly("batch", &Graph::batch)
      .def_property_readonly("calls", &Graph::calls)
      .def("set_calls", &Graph::set_calls, arg("calls"))
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
          "node_dtype",
          [](const Graph& g, int t) { return std::string(to_string(g.node(t).dtype)); },
          arg("tensor"))
      .def(
          "node_inputs", [](const Graph& g, int t) { return g.node(t).inputs; }, arg("tensor"))
      .def(
          "node_method", [](const Graph& g, int t) { return method_of(g.node(t).op); },
          arg("tensor"))
      .def(
          "node_attributes", [](const Graph& g, int t) { return attributes_of(g.node(t).op); },
          arg("tensor"))
      .def(
          "shape", [](const Graph& g, int t) { return py::tuple(py::cast(g.node(t).shape)); },
          arg("tensor"))
      .def(
          "set_dtype", [](Graph& g, const std::string& dtype) { g.set_dtype(parse_dtype(dtype)); },
          arg("dtype"))
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
             const PadArg& padding, bool ceil_mode, bool count_include_pad, const PairArg& dilation,
             std::string name) {
            return g.pool(x,
                          pool_op(PoolOp::Kind::average, kernel, stride, padding, dilation,
                                  ceil_mode, count_include_pad),
                          std::move(name));
          },
          arg("x"), arg("kernel"), arg("stride") = py::none(), arg("padding") = 0,
          arg("ceil_mode") = false, arg("count_include_pad") = true, arg("dilation") = 1,
          arg("name") = "")
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
             bool bidirectional, bool bias, std::int64_t projection, std::string name,
             const std::vector<int>& states) {
            return g.recurrent(x,
                               {.cell = recurrent_cell(cell),
                                .hidden = hidden,
                                .layers = layers,
                                .bidirectional = bidirectional,
                                .bias = bias,
                                .projection = projection},
                               std::move(name), states);
          },
          arg("x"), arg("cell"), arg("hidden"), arg("layers") = 1, arg("bidirectional") = false,
          arg("bias") = true, arg("projection") = 0, arg("name") = "",
          arg("states") = std::vector<int>{})
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
           arg("name") = "", arg("order") = std::vector<std::int64_t>{})
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
