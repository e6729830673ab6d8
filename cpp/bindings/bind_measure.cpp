#include "alphaflops/heap.hpp"
#include "alphaflops/measure.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

void bind_measure(py::module_& m) {
  using py::arg;
  const py::call_guard<py::gil_scoped_release> released;
  py::class_<Sample>(m, "Sample")
      .def_readonly("time_s", &Sample::time_s)
      .def_readonly("iterations", &Sample::iterations)
      .def_readonly("wall_s", &Sample::wall_s)
      .def_readonly("steal_s", &Sample::steal_s)
      .def_readonly("switches", &Sample::switches)
      .def_readonly("clock_hz", &Sample::clock_hz)
      .def_readonly("reorder_s", &Sample::reorder_s);

  py::class_<Workbench, std::shared_ptr<Workbench>>(m, "Workbench")
      .def(py::init<std::int64_t>(), arg("limit_bytes") = Workbench::default_limit_bytes)
      .def_property_readonly("limit_bytes", &Workbench::limit_bytes)
      .def_property_readonly("memory_bytes", &Workbench::memory_bytes);

  py::class_<Bench>(m, "Bench")
      .def(py::init([](const Graph& graph, std::shared_ptr<Workbench> workbench,
                       const std::string& isa, const std::string& cache, std::size_t row,
                       std::optional<std::int64_t> reuse_bytes, double reuse_s) {
             return Bench(graph, std::move(workbench), isa_of(isa), parse_cache_state(cache), row,
                          reuse_bytes, reuse_s);
           }),
           arg("graph"), arg("workbench"), arg("isa") = "", arg("cache") = "context",
           arg("row") = 0, arg("reuse_bytes") = std::nullopt, arg("reuse_s") = 0.0)
      .def("warm_up", &Bench::warm_up, released)
      .def("sample", &Bench::sample, arg("iterations"), released)
      .def_static("iterations_for", &Bench::iterations_for, arg("call_s"))
      .def_property_readonly("isa", [](const Bench& b) { return std::string(to_string(b.isa())); })
      .def_property_readonly("memory_bytes", &Bench::memory_bytes);

  py::class_<HeapFilling> filling(m, "HeapFilling");
  filling.def(py::init<>())
      .def("fill", &HeapFilling::fill, arg("least_bytes"))
      .def_property_readonly("bytes", &HeapFilling::bytes)
      .def("hold", &HeapFilling::hold, arg("bytes"))
      .def("let_go", &HeapFilling::let_go);
  filling.attr("largest_bytes") = HeapFilling::largest_bytes;
  m.def("keep_freed_memory", &keep_freed_memory, arg("keep"));

  m.def("sample_network", &sample_network, arg("executor"), arg("iterations") = 1, released);
}

}  // namespace alphaflops::python
