// _cuda: runs plans on the GPU and times them. Importing it touches no driver.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "../src/device.hpp"
#include "../src/library.hpp"
#include "../src/program.hpp"
#include "../src/timing/timer.hpp"
#include "alphaflops/error.hpp"
#include "translate_errors.hpp"

namespace py = pybind11;

namespace alphaflops::cuda {
namespace {

const auto unlocked = py::call_guard<py::gil_scoped_release>();

Addresses addresses_of(const std::map<std::string, std::uint64_t>& named) {
  Addresses addresses{};
  for (const auto& [name, address] : named) {
    int buffer = 0;
    while (buffer < buffer_count && to_string(static_cast<Buffer>(buffer)) != name) ++buffer;
    if (buffer == buffer_count) throw ShapeError("'" + name + "' is no buffer of a plan");
    addresses[static_cast<std::size_t>(buffer)] = address;
  }
  return addresses;
}

void bind_device(py::module_& m) {
  using py::arg;
  m.def("device_count", &device_count, unlocked);
  m.def(
      "device_info",
      [](int index) {
        const DeviceInfo info = device_info(index);
        py::dict all;
        all["index"] = info.index;
        all["name"] = info.name;
        all["pci_bus"] = info.pci_bus;
        all["arch"] = info.target.arch;
        all["sm_count"] = info.target.sm_count;
        all["shared_per_block_bytes"] = info.target.shared_per_block_bytes;
        all["l2_bytes"] = info.l2_bytes;
        all["memory_bytes"] = info.memory_bytes;
        all["clock_hz"] = info.clock_hz;
        all["driver_version"] = info.driver_version;
        all["runtime_version"] = info.runtime_version;
        return all;
      },
      arg("index") = 0);
  m.def(
      "memory_info",
      [](int index) {
        const MemoryInfo memory = memory_info(index);
        return py::make_tuple(memory.free_bytes, memory.total_bytes);
      },
      arg("index") = 0);
  py::class_<DeviceMemory>(m, "DeviceMemory")
      .def(py::init<std::int64_t, int>(), arg("bytes"), arg("device") = 0)
      .def_property_readonly("address", &DeviceMemory::address)
      .def("__len__", &DeviceMemory::size)
      .def(
          "write",
          [](DeviceMemory& memory, const py::buffer& from, std::int64_t offset) {
            const py::buffer_info info = from.request();
            memory.write(info.ptr, info.size * info.itemsize, offset);
          },
          arg("from_"), arg("offset") = 0)
      .def(
          "read",
          [](const DeviceMemory& memory, std::int64_t bytes, std::int64_t offset) {
            std::string all(static_cast<std::size_t>(bytes), '\0');
            memory.read(all.data(), bytes, offset);
            return py::bytes(all);
          },
          arg("bytes"), arg("offset") = 0)
      .def("repeat", &DeviceMemory::repeat, arg("bytes"), unlocked);
}

void bind_timing(py::module_& m) {
  using py::arg;
  py::class_<Program, std::shared_ptr<Program>>(m, "Program")
      .def(py::init<int>(), arg("device") = 0)
      .def(
          "append",
          [](Program& program, const Plan& plan,
             const std::map<std::string, std::uint64_t>& addresses) {
            program.append(plan.launches, addresses_of(addresses));
          },
          arg("plan"), arg("addresses"))
      .def_static("captured", &Program::captured, arg("programs"), arg("turns") = 1,
                  arg("device") = 0)
      .def(
          "launch",
          [](const Program& program, std::uint64_t stream) {
            program.launch(reinterpret_cast<cudaStream_t>(stream));
          },
          arg("stream") = 0, unlocked)
      .def("__len__", &Program::launches);
  py::class_<Timer>(m, "Timer")
      .def(py::init<int>(), arg("device") = 0)
      .def_property_readonly("flag", &Timer::flag)
      .def(
          "set_blocker",
          [](Timer& timer, std::shared_ptr<Program> blocker) {
            timer.set_blocker(std::move(blocker));
          },
          arg("blocker"))
      .def("hot", &Timer::hot, arg("programs"), arg("calls"), unlocked)
      .def("cold", &Timer::cold, arg("programs"), arg("before"), arg("calls"), unlocked)
      .def("enqueued", &Timer::enqueued, arg("programs"), arg("calls"), unlocked);
}

}  // namespace
}  // namespace alphaflops::cuda

PYBIND11_MODULE(_cuda, m, py::mod_gil_not_used()) {
  using namespace alphaflops::cuda;
  m.doc() = "Runs the plans of _cuda_plan on an NVIDIA GPU, and times them.";
  py::module_::import("alphaflops._cuda_plan");  // has the types of plans
  alphaflops::python::translate_errors();
  py::list headers;
  for (const FatBinary& each : fat_binaries()) headers.append(std::string(each.header));
  m.attr("HEADERS") = py::tuple(headers);
  bind_device(m);
  bind_timing(m);
}
