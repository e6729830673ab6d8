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

py::dict attributes_of(const Operator& op) {
  py::dict found;
  const auto add_window = [&found](const Window& window) {
    found["kernel"] = py::tuple(py::cast(window.kernel));
    found["stride"] = py::tuple(py::cast(window.stride));
    found["padding"] = py::tuple(py::cast(window.pad));
    found["dilation"] = py::tuple(py::cast(window.dilation));
  };
  if (const auto* conv = std::get_if<Conv2dOp>(&op)) {
    add_window(conv->window);
    found["groups"] = conv->groups;
    found["bias"] = conv->bias;
  } else if (const auto* linear = std::get_if<LinearOp>(&op)) {
    found["bias"] = linear->bias;
  } else if (const auto* pool = std::get_if<PoolOp>(&op)) {
    add_window(pool->window);
    found["ceil_mode"] = pool->ceil_mode;
    found["count_include_pad"] = pool->count_include_pad;
  }
  return found;
}

}  // namespace

void bind_graph(py::module_& m) {
  using py::arg;
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
          "node_attributes", [](const Graph& g, int t) { return attributes_of(g.node(t).op); },
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
      .def("add", &Graph::add, arg("a"), arg("b"), arg("name") = "")
      .def("mul", &Graph::mul, arg("a"), arg("b"), arg("name") = "")
      .def("concat", &Graph::concat, arg("inputs"), arg("name") = "")
      .def("flatten", &Graph::flatten, arg("x"), arg("name") = "")
      .def("view", &Graph::view, arg("x"), arg("shape"), arg("name") = "")
      .def("softmax", &Graph::softmax, arg("x"), arg("name") = "")
      .def("unknown", &Graph::unknown, arg("inputs"), arg("type"), arg("shape"), arg("name") = "");
}

}  // namespace alphaflops::python
