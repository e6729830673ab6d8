// _cuda_plan: what a GPU is to run, as data. Needs neither toolkit nor driver.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <map>
#include <string>
#include <vector>

#include "../plan/plans.hpp"
#include "alphaflops/error.hpp"
#include "translate_errors.hpp"

namespace py = pybind11;

namespace alphaflops::cuda {
namespace {

using Sizes = std::map<std::string, std::int64_t>;

/// Moves a named size out of `sizes`; what is left at the end is a name that nobody knows.
class Reader {
 public:
  explicit Reader(const Sizes& sizes) : left_(sizes) {}
  void operator()(const std::string& name, std::int64_t& to) {
    if (const auto found = left_.find(name); found != left_.end()) {
      to = found->second;
      left_.erase(found);
    }
  }
  void finish() const {
    if (!left_.empty()) {
      throw ShapeError("'" + left_.begin()->first + "' is no size of this operator");
    }
  }

 private:
  Sizes left_;
};

template <typename Shape>
void read_window(Reader& read, Shape& shape) {
  read("batch", shape.batch), read("h_in", shape.h_in), read("w_in", shape.w_in);
  read("k_h", shape.k_h), read("k_w", shape.k_w);
  read("stride_h", shape.stride_h), read("stride_w", shape.stride_w);
  read("pad_top", shape.pad_top), read("pad_bottom", shape.pad_bottom);
  read("pad_left", shape.pad_left), read("pad_right", shape.pad_right);
}

std::vector<Plan> conv_plans(const Sizes& sizes, const Target& target, const std::string& dtype,
                             const std::string& pass, const std::string& activation, bool bias,
                             bool transposed) {
  Problem problem;
  Reader read(sizes);
  read_window(read, problem.shape);
  read("c_in", problem.shape.c_in), read("c_out", problem.shape.c_out);
  read("dilation_h", problem.shape.dilation_h), read("dilation_w", problem.shape.dilation_w);
  read("groups", problem.shape.groups);
  read.finish();
  problem.dtype = parse_dtype(dtype);
  problem.pass = parse_pass(pass);
  problem.activation = parse_activation(activation);
  problem.bias = bias;
  problem.transposed = transposed;
  return plans(problem, target);
}

void read_axes(Reader& read, Axes& axes) {
  for (std::size_t i = 0; i < axes.size.size(); ++i) {
    const std::string axis = "_" + std::to_string(i);
    read("size" + axis, axes.size[i]);
    axes.extent[i] = axes.size[i];
    read("extent" + axis, axes.extent[i]);
    read("stride" + axis, axes.stride[i]), read("shift" + axis, axes.shift[i]);
  }
  read("offset", axes.offset);
}

void read_parts(Reader& read, std::vector<Part>& parts) {
  for (int i = 0; i < part_count; ++i) {
    const std::string part = "_" + std::to_string(i);
    Part of;
    read("channels" + part, of.channels);
    of.stride = of.channels;
    read("stride" + part, of.stride), read("offset" + part, of.offset);
    if (of.channels != 0) parts.push_back(of);
  }
}

std::vector<Plan> stream_plans(const std::string& stream, const Sizes& sizes, const Target& target,
                               const std::string& dtype, const std::string& function,
                               bool ceil_mode, bool count_include_pad, float epsilon, float scale) {
  StreamProblem problem;
  problem.stream = parse_stream(stream);
  Reader read(sizes);
  read_window(read, problem.shape);
  read("channels", problem.shape.channels);
  read("out_channels", problem.out_channels), read("out_channel", problem.out_channel);
  read("second_blocks", problem.second.blocks), read("second_repeats", problem.second.repeats);
  read("second_length", problem.second.length);
  read("table_rows", problem.table_rows), read("causal_rows", problem.causal_rows);
  read("softmax_columns", problem.softmax_columns);
  read("dilation_h", problem.dilation_h), read("dilation_w", problem.dilation_w);
  if (problem.stream == Stream::concat) read_parts(read, problem.parts);
  if (problem.stream == Stream::copy_axes) read_axes(read, problem.axes);
  read.finish();
  problem.shape.ceil_mode = ceil_mode;
  problem.shape.count_include_pad = count_include_pad;
  problem.dtype = parse_dtype(dtype);
  problem.function = parse_function(function);
  problem.epsilon = epsilon;
  problem.scale = scale;
  return plans(problem, target);
}

/// Strides by the name of the operand: a_outer, a_inner, ...
void read_matrices(Reader& read, const std::string& name, Matrices& m) {
  read(name + "_outer", m.outer), read(name + "_inner", m.inner);
  read(name + "_row", m.row), read(name + "_column", m.column);
  read(name + "_offset", m.offset);
}

std::vector<Plan> matmul_plans(const Sizes& sizes, const Target& target, const std::string& dtype) {
  MatmulProblem problem;
  Reader read(sizes);
  read("outer", problem.outer), read("inner", problem.inner);
  read("rows", problem.rows), read("columns", problem.columns), read("depth", problem.depth);
  read_matrices(read, "a", problem.a), read_matrices(read, "b", problem.b);
  read_matrices(read, "c", problem.c);
  read.finish();
  problem.dtype = parse_dtype(dtype);
  return plans(problem, target);
}

std::vector<Plan> attention_plans(const Sizes& sizes, const Target& target,
                                  const std::string& dtype, bool causal) {
  AttentionProblem problem;
  Reader read(sizes);
  read("batch", problem.batch), read("heads", problem.heads);
  read("length", problem.length), read("kv_length", problem.kv_length);
  read("depth", problem.depth), read("v_depth", problem.v_depth);
  read_matrices(read, "q", problem.q), read_matrices(read, "k", problem.k);
  read_matrices(read, "v", problem.v), read_matrices(read, "y", problem.y);
  read("group", problem.group);
  problem.has_mask = sizes.contains("mask_row");
  read_matrices(read, "mask", problem.mask);
  read.finish();
  problem.dtype = parse_dtype(dtype);
  problem.is_causal = causal;
  return plans(problem, target);
}

std::vector<Plan> recurrent_plans(const std::string& cell, const Sizes& sizes, const Target& target,
                                  const std::string& dtype, bool bias) {
  RecurrentProblem problem;
  problem.cell = parse_cell(cell);
  Reader read(sizes);
  read("batch", problem.batch), read("length", problem.length);
  read("directions", problem.directions);
  read("hidden", problem.hidden), read("projection", problem.projection);
  read.finish();
  problem.dtype = parse_dtype(dtype);
  problem.bias = bias;
  return plans(problem, target);
}

std::vector<Plan> probe_plans(const std::string& probe, const Target& target, std::int64_t amount,
                              const std::string& dtype) {
  return plans(ProbeProblem{parse_probe(probe), parse_dtype(dtype), amount}, target);
}

py::bytes parameters_of(const Launch& launch) {
  return {reinterpret_cast<const char*>(launch.parameters.data()), launch.parameters.size()};
}

void bind_launch(py::module_& m) {
  py::class_<Pointer>(m, "Pointer")
      .def_readonly("offset", &Pointer::offset)
      .def_property_readonly("buffer", [](const Pointer& p) { return to_string(p.buffer); })
      .def_readonly("byte_offset", &Pointer::byte_offset);
  py::class_<TensorMap>(m, "TensorMap")
      .def_readonly("offset", &TensorMap::offset)
      .def_property_readonly("buffer", [](const TensorMap& t) { return to_string(t.buffer); })
      .def_readonly("byte_offset", &TensorMap::byte_offset)
      .def_property_readonly("dtype",
                             [](const TensorMap& t) { return std::string(to_string(t.dtype)); })
      .def_readonly("rank", &TensorMap::rank)
      .def_readonly("sizes", &TensorMap::sizes)
      .def_readonly("strides_bytes", &TensorMap::strides_bytes)
      .def_readonly("box", &TensorMap::box)
      .def_readonly("element_strides", &TensorMap::element_strides)
      .def_property_readonly("swizzle",
                             [](const TensorMap& t) { return static_cast<int>(t.swizzle); })
      .def_readonly("im2col", &TensorMap::im2col)
      .def_readonly("lower_corner", &TensorMap::lower_corner)
      .def_readonly("upper_corner", &TensorMap::upper_corner)
      .def_readonly("channels_per_pixel", &TensorMap::channels_per_pixel)
      .def_readonly("pixels_per_column", &TensorMap::pixels_per_column);
  py::class_<Launch>(m, "Launch")
      .def_readonly("symbol", &Launch::symbol)
      .def_readonly("header", &Launch::header)
      .def_readonly("min_arch", &Launch::min_arch)
      .def_readonly("exact_arch", &Launch::exact_arch)
      .def_readonly("grid", &Launch::grid)
      .def_readonly("block", &Launch::block)
      .def_readonly("cluster", &Launch::cluster)
      .def_readonly("shared_bytes", &Launch::shared_bytes)
      .def_readonly("overlaps_before", &Launch::overlaps_before)
      .def_property_readonly("parameters", &parameters_of)
      .def_readonly("pointers", &Launch::pointers)
      .def_readonly("tensor_maps", &Launch::tensor_maps);
  py::class_<Plan>(m, "Plan")
      .def_readonly("launches", &Plan::launches)
      .def_readonly("workspace_bytes", &Plan::workspace_bytes)
      .def_readonly("algorithm", &Plan::algorithm)
      .def_readonly("tile", &Plan::tile)
      .def_readonly("operations", &Plan::operations)
      .def_readonly("bytes", &Plan::bytes);
}

}  // namespace
}  // namespace alphaflops::cuda

PYBIND11_MODULE(_cuda_plan, m, py::mod_gil_not_used()) {
  using namespace alphaflops::cuda;
  using py::arg;
  m.doc() = "What a GPU is to run, as data; needs neither the CUDA toolkit nor a driver.";
  alphaflops::python::translate_errors();
  bind_launch(m);
  py::class_<Target>(m, "Target")
      .def(py::init([](int arch, bool has_a_features, int sm_count, int shared_per_block_bytes) {
             return Target{arch, has_a_features, sm_count, shared_per_block_bytes};
           }),
           arg("arch"), arg("has_a_features") = false, arg("sm_count") = 1,
           arg("shared_per_block_bytes") = 48 * 1024)
      .def_readonly("arch", &Target::arch)
      .def_readonly("has_a_features", &Target::has_a_features)
      .def_readonly("sm_count", &Target::sm_count)
      .def_readonly("shared_per_block_bytes", &Target::shared_per_block_bytes);
  py::list buffers, streams, probes;
  for (int i = 0; i < buffer_count; ++i) buffers.append(to_string(static_cast<Buffer>(i)));
  for (int i = 0; i < stream_count; ++i) {
    streams.append(std::string(to_string(static_cast<Stream>(i))));
  }
  for (int i = 0; i < probe_count; ++i) {
    probes.append(std::string(to_string(static_cast<Probe>(i))));
  }
  m.attr("BUFFERS") = py::tuple(buffers);
  m.attr("STREAMS") = py::tuple(streams);
  m.attr("PROBES") = py::tuple(probes);
  m.attr("PARTS") = part_count;
  m.def("conv_plans", &conv_plans, arg("sizes"), arg("target"), arg("dtype") = "fp32",
        arg("pass_") = "forward", arg("activation") = "none", arg("bias") = false,
        arg("transposed") = false);
  m.def("stream_plans", &stream_plans, arg("stream"), arg("sizes"), arg("target"),
        arg("dtype") = "fp32", arg("function") = "none", arg("ceil_mode") = false,
        arg("count_include_pad") = true, arg("epsilon") = 1e-5F, arg("scale") = 1.0F);
  m.def("matmul_plans", &matmul_plans, arg("sizes"), arg("target"), arg("dtype") = "fp32");
  m.def("attention_plans", &attention_plans, arg("sizes"), arg("target"), arg("dtype") = "fp32",
        arg("causal") = false);
  m.def("recurrent_plans", &recurrent_plans, arg("cell"), arg("sizes"), arg("target"),
        arg("dtype") = "fp32", arg("bias") = true);
  m.def("probe_plans", &probe_plans, arg("probe"), arg("target"), arg("amount") = 0,
        arg("dtype") = "fp32");
}
