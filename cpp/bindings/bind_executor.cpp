#include "alphaflops/executor.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

void bind_executor(py::module_& m) {
  using py::arg;
  py::class_<Executor>(m, "Executor")
      .def(py::init([](const Graph& graph, const std::string& mode, const std::string& isa,
                       std::uint64_t seed) {
             const Mode wanted_mode = parse_mode(mode);
             const Isa wanted_isa = isa_of(isa);
             const py::gil_scoped_release released;
             return Executor(graph, wanted_mode, wanted_isa, seed);
           }),
           arg("graph"), arg("mode") = "fused", arg("isa") = "", arg("seed") = 0)
      .def_property_readonly("work", &Executor::work, py::return_value_policy::reference_internal)
      .def_property_readonly("isa",
                             [](const Executor& e) { return std::string(to_string(e.isa())); })
      .def_property_readonly("memory_bytes", &Executor::memory_bytes)
      .def("run", &Executor::run, py::call_guard<py::gil_scoped_release>())
      .def("run_timed",
           [](Executor& e) {
             std::vector<double> times(e.work().size());
             {
               const py::gil_scoped_release released;
               e.run_timed(times);
             }
             return py::array_t<double>(static_cast<py::ssize_t>(times.size()), times.data());
           })
      .def(
          "input",
          [](const py::object& self, std::size_t index) {
            const std::span<float> values = py::cast<Executor&>(self).input(index);
            return py::array_t<float>(static_cast<py::ssize_t>(values.size()), values.data(), self);
          },
          arg("index") = 0)
      .def("output",
           [](const Executor& e) {
             const std::span<const float> values = e.output();
             return py::array_t<float>(static_cast<py::ssize_t>(values.size()), values.data());
           })
      .def("weights", &Executor::weights, arg("node"))
      .def("shift", &Executor::shift, arg("node"));
}

}  // namespace alphaflops::python
