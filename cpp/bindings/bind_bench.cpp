#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "alphaflops/conv_bench.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/roof.hpp"
#include "alphaflops/threads.hpp"
#include "bindings.hpp"

namespace alphaflops::python {
namespace {

struct Field {
  const char* name;
  std::int64_t Conv2dShape::* member;
};
constexpr std::array<Field, 16> fields{{{"batch", &Conv2dShape::batch},
                                        {"c_in", &Conv2dShape::c_in},
                                        {"h_in", &Conv2dShape::h_in},
                                        {"w_in", &Conv2dShape::w_in},
                                        {"c_out", &Conv2dShape::c_out},
                                        {"k_h", &Conv2dShape::k_h},
                                        {"k_w", &Conv2dShape::k_w},
                                        {"stride_h", &Conv2dShape::stride_h},
                                        {"stride_w", &Conv2dShape::stride_w},
                                        {"pad_top", &Conv2dShape::pad_top},
                                        {"pad_bottom", &Conv2dShape::pad_bottom},
                                        {"pad_left", &Conv2dShape::pad_left},
                                        {"pad_right", &Conv2dShape::pad_right},
                                        {"dilation_h", &Conv2dShape::dilation_h},
                                        {"dilation_w", &Conv2dShape::dilation_w},
                                        {"groups", &Conv2dShape::groups}}};

using NamedSizes = std::map<std::string, std::int64_t>;

Conv2dShape shape_of(const NamedSizes& sizes) {
  Conv2dShape shape;
  for (const auto& [name, value] : sizes) {
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const Field& each) { return name == each.name; });
    if (field == fields.end()) throw ShapeError("conv2d: '" + name + "' is no field of a shape");
    shape.*(field->member) = value;
  }
  return shape;
}

py::dict sizes_of(const Conv2dShape& shape) {
  py::dict sizes;
  for (const Field& each : fields) sizes[each.name] = shape.*(each.member);
  return sizes;
}

ConvAlgorithm parse_algorithm(const std::string& name) {
  if (name == "auto") return ConvAlgorithm::automatic;
  std::string names = "auto";
  for (const ConvAlgorithm each :
       {ConvAlgorithm::direct, ConvAlgorithm::gemm, ConvAlgorithm::depthwise,
        ConvAlgorithm::grouped, ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
    if (to_string(each) == name) return each;
    names += ", " + std::string(to_string(each));
  }
  throw UnsupportedError("algorithm '" + name + "' is none of " + names);
}

std::string name_of(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::automatic ? "auto" : std::string(to_string(algorithm));
}

Isa isa_for(const std::string& name, DType dtype) {
  return name.empty() ? best_isa(dtype) : parse_isa(name);
}

}  // namespace

void bind_bench(py::module_& m) {
  using py::arg;
  const py::call_guard<py::gil_scoped_release> released;

  m.def(
      "available_isas_for",
      [](const std::string& dtype) {
        std::vector<std::string> names;
        for (const Isa isa : available_isas(parse_dtype(dtype))) names.emplace_back(to_string(isa));
        return names;
      },
      arg("dtype"));
  m.def("processor_count", &processor_count);
  m.def("available_memory_bytes", &available_memory_bytes);
  m.def(
      "conv_layers",
      [](const Graph& graph) {
        py::list rows;
        for (const ConvLayer& each : conv_layers(graph)) {
          rows.append(py::make_tuple(each.name, each.op, sizes_of(each.shape)));
        }
        return rows;
      },
      arg("graph"));
  m.def(
      "conv_macs",
      [](const NamedSizes& sizes) {
        const Conv2dShape shape = shape_of(sizes);
        return std::pair(shape.macs(), macs_without_padding(shape));
      },
      arg("shape"));

  m.def(
      "probe_rate",
      [](const std::string& dtype, const std::string& isa, int threads, double duration_s) {
        const DType type = parse_dtype(dtype);
        const py::gil_scoped_release release;
        return probe_rate(type, isa_for(isa, type), threads, duration_s);
      },
      arg("dtype") = "fp32", arg("isa") = "", arg("threads") = 1, arg("duration_s") = 0.1);
  m.def(
      "probe_bandwidth",
      [](const std::string& access, std::int64_t bytes, const std::string& isa, int threads,
         double duration_s) {
        const py::gil_scoped_release release;
        return probe_bandwidth(parse_access(access), isa_for(isa, DType::fp32), bytes, threads,
                               duration_s);
      },
      arg("access"), arg("bytes"), arg("isa") = "", arg("threads") = 1, arg("duration_s") = 0.1);
  m.def(
      "probe_call_s",
      [](const std::string& isa, int threads) {
        const py::gil_scoped_release release;
        return probe_call_s(isa_for(isa, DType::fp32), threads);
      },
      arg("isa") = "", arg("threads") = 1);

  py::class_<ConvWorkbench, std::shared_ptr<ConvWorkbench>>(m, "ConvWorkbench")
      .def(py::init<int, std::uint64_t, std::int64_t>(), arg("threads") = 1, arg("seed") = 0,
           arg("limit_bytes") = 0)
      .def_property_readonly("threads", &ConvWorkbench::threads)
      .def_property_readonly("limit_bytes", &ConvWorkbench::limit_bytes);

  py::class_<ConvBench>(m, "ConvBench")
      .def(py::init([](const NamedSizes& sizes, std::shared_ptr<ConvWorkbench> workbench,
                       const std::string& dtype, const std::string& isa,
                       const std::string& algorithm, bool winograd, int threads,
                       const std::string& layout) {
             const DType type = parse_dtype(dtype);
             return ConvBench(shape_of(sizes), std::move(workbench),
                              {.dtype = type,
                               .isa = isa_for(isa, type),
                               .algorithm = parse_algorithm(algorithm),
                               .winograd = winograd,
                               .threads = threads,
                               .layout = parse_layout(layout)});
           }),
           arg("shape"), arg("workbench"), arg("dtype") = "fp32", arg("isa") = "",
           arg("algorithm") = "auto", arg("winograd") = true, arg("threads") = 0,
           arg("layout") = "nhwc")
      .def("warm_up", &ConvBench::warm_up, released)
      .def("sample", &ConvBench::sample, arg("iterations"), arg("cold") = false, arg("delay") = 0.0,
           released)
      .def_property_readonly("algorithm", [](const ConvBench& b) { return name_of(b.algorithm()); })
      .def_property_readonly("memory_bytes", &ConvBench::memory_bytes)
      .def_property_readonly("compulsory_bytes", &ConvBench::compulsory_bytes)
      .def_property_readonly("checksum", &ConvBench::checksum);
}

}  // namespace alphaflops::python
