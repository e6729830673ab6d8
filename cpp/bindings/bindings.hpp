// One function a concept; module.cpp calls each. Bindings check arrays, release the GIL and call.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "alphaflops/isa.hpp"

namespace alphaflops::python {

namespace py = pybind11;

void bind_errors(py::module_& m);
void bind_graph(py::module_& m);
void bind_training(py::module_& m);
void bind_work(py::module_& m);
void bind_profile(py::module_& m);
void bind_cost(py::module_& m);
void bind_predict(py::module_& m);
void bind_space(py::module_& m);
void bind_system(py::module_& m);
void bind_executor(py::module_& m);
void bind_measure(py::module_& m);
void bind_bench(py::module_& m);

/// The instruction set of that name; the best one here for an empty name.
Isa isa_of(const std::string& name);

/// A read-only NumPy view of a column; `owner` keeps it alive.
template <typename T>
py::array_t<T> column(const std::vector<T>& values, const py::object& owner) {
  py::array_t<T> array(static_cast<py::ssize_t>(values.size()), values.data(), owner);
  array.attr("flags").attr("writeable") = false;
  return array;
}

}  // namespace alphaflops::python
