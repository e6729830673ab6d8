#include "alphaflops/liveness.hpp"
#include "alphaflops/training.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

void bind_training(py::module_& m) {
  using py::arg;
  using Names = std::vector<std::string>;
  py::class_<Training>(
      m, "Training", R"doc(How a network is trained: what counts in a step and what stays in memory.

Parameters
----------
optimizer : {"sgd", "momentum", "adam", "adamw", "none"}
frozen : sequence of str
    Layers whose parameters get no gradient: names, or their beginnings up to a "." or "/".
checkpoint : sequence of str
    Likewise, groups of layers that keep nothing and run again in the backward pass.
accumulate : int
    Micro-batches a step, each of the graph's batch.
recompute_attention : bool
    Scores of attention are computed again instead of kept.

Raises
------
UnsupportedError
    The optimizer is not known; when used, a name is no layer's.)doc")
      .def(py::init([](const std::string& optimizer, Names frozen, Names checkpoint,
                       std::int64_t accumulate, bool recompute_attention) {
             return Training{.optimizer = parse_optimizer(optimizer),
                             .frozen = std::move(frozen),
                             .checkpoint = std::move(checkpoint),
                             .accumulate = accumulate,
                             .recompute_attention = recompute_attention};
           }),
           arg("optimizer") = "sgd", arg("frozen") = Names{}, arg("checkpoint") = Names{},
           arg("accumulate") = 1, arg("recompute_attention") = false)
      .def_property_readonly("optimizer",
                             [](const Training& t) { return std::string(to_string(t.optimizer)); })
      .def_property_readonly("frozen",
                             [](const Training& t) { return py::tuple(py::cast(t.frozen)); })
      .def_property_readonly("checkpoint",
                             [](const Training& t) { return py::tuple(py::cast(t.checkpoint)); })
      .def_readonly("accumulate", &Training::accumulate)
      .def_readonly("recompute_attention", &Training::recompute_attention);

  py::class_<PeakMemory>(m, "PeakMemory", R"doc(Bytes at the moment when most are in use.)doc")
      .def("__repr__",
           [](const PeakMemory& p) {
             return "PeakMemory(" + std::to_string(p.total()) + " bytes, at node " +
                    std::to_string(p.node) + ", " + std::string(to_string(p.pass)) + ")";
           })
      .def_readonly("parameters_bytes", &PeakMemory::parameters)
      .def_readonly("constants_bytes", &PeakMemory::constants)
      .def_readonly("gradients_bytes", &PeakMemory::gradients)
      .def_readonly("optimizer_state_bytes", &PeakMemory::optimizer_state)
      .def_readonly("activations_bytes", &PeakMemory::activations)
      .def_property_readonly("total_bytes", &PeakMemory::total)
      .def_readonly("node", &PeakMemory::node)
      .def_property_readonly("during",
                             [](const PeakMemory& p) { return std::string(to_string(p.pass)); });

  m.def(
      "peak_memory",
      [](const Graph& graph, const std::string& mode, const std::optional<Training>& training) {
        return peak_memory(graph, parse_mode(mode), training);
      },
      arg("graph"), arg("mode") = "eager", arg("training") = py::none(),
      R"doc(Find the most bytes that a network needs at once, by the life of every tensor.

Inputs and results stay; every other tensor is freed behind its last reader, in training behind
the backward step that reads it, as PyTorch's autograd keeps it. Raises UnsupportedError where a
name in `training` is no layer's.)doc");
}

}  // namespace alphaflops::python
