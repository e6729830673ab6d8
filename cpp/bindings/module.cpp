#include "bindings.hpp"

PYBIND11_MODULE(_core, m, pybind11::mod_gil_not_used()) {
  using namespace alphaflops::python;
  m.doc() = "Compiled core of alphaflops: graphs, work tables, profiles, prediction, kernels.";
  m.attr("__version__") = ALPHAFLOPS_VERSION;
  bind_errors(m);
  bind_graph(m);
  bind_training(m);
  bind_work(m);
  bind_profile(m);
  bind_cost(m);
  bind_predict(m);
  bind_space(m);
  bind_system(m);
  bind_executor(m);
  bind_measure(m);
  bind_bench(m);
}
