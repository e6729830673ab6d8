#include "alphaflops/error.hpp"
#include "alphaflops/system.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

Isa isa_of(const std::string& name) {
  if (name.empty()) return best_isa();
  const Isa isa = parse_isa(name);
  std::string here;
  for (const Isa each : available_isas()) {
    if (each == isa) return isa;
    if (!here.empty()) here += ", ";
    here += to_string(each);
  }
  throw UnsupportedError("isa '" + name + "' is not available on this processor; use one of " +
                         here);
}

void bind_system(py::module_& m) {
  using py::arg;
  m.def("available_isas", [] {
    std::vector<std::string> names;
    for (const Isa isa : available_isas()) names.emplace_back(to_string(isa));
    return names;
  });
  m.def("best_isa", [] { return std::string(to_string(best_isa())); });
  m.def(
      "resolve_isa", [](const std::string& name) { return std::string(to_string(isa_of(name))); },
      arg("name") = "");

  m.def("clock_resolution_s", &clock_resolution_s);
  m.def("clock_cost_s", &clock_cost_s);
  m.def("thread_affinity", &thread_affinity);
  m.def("set_thread_affinity", &set_thread_affinity, arg("cpus"));
  m.def("current_cpu", &current_cpu);
  m.def("steal_time_s", &steal_time_s, arg("cpu") = -1);
  m.def("involuntary_switches", &involuntary_switches);
  m.def("estimate_clock_hz", &estimate_clock_hz, arg("duration_s") = 50e-6);

  m.def("system_info", [] {
    const SystemInfo info = system_info();
    py::dict result;
    result["cpu_model"] = info.cpu_model;
    result["hypervisor"] = info.hypervisor;
    result["compiler"] = info.compiler;
    result["kernel"] = info.kernel;
    result["logical_cpus"] = info.logical_cpus;
    result["l1d_bytes"] = info.l1d_bytes;
    result["l2_bytes"] = info.l2_bytes;
    result["l3_bytes"] = info.l3_bytes;
    result["memory_bytes"] = info.memory_bytes;
    return result;
  });
  m.def(
      "probe_peak",
      [](const std::string& isa, double duration_s) {
        const Isa wanted = isa_of(isa);
        Peak peak;
        {
          const py::gil_scoped_release released;
          peak = probe_peak(wanted, duration_s);
        }
        return py::make_tuple(peak.flops_per_s, peak.bytes_read_per_s);
      },
      arg("isa") = "", arg("duration_s") = 1.0);
}

}  // namespace alphaflops::python
