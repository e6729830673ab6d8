#include "alphaflops/profile.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

void bind_profile(py::module_& m) {
  using py::arg;
  m.attr("PROFILE_VERSION") = profile_version;
  py::class_<Profile>(m, "Profile")
      .def_static("parse", &Profile::parse, arg("json"), arg("origin") = "profile")
      .def_static("load", &Profile::load, arg("path"))
      .def_property_readonly("name", &Profile::name)
      .def_property_readonly("backend", &Profile::backend)
      .def_property_readonly("mode", [](const Profile& p) { return to_string(p.mode()); })
      .def(
          "weight_share",
          [](const Profile& p, double bytes, double seconds) {
            return 1.0 - p.weight_reuse().gain_at(bytes, seconds);
          },
          arg("reuse_bytes"), arg("reuse_s") = 0.0)
      .def_property_readonly("interval_level", &Profile::interval_level)
      .def_property_readonly("power_w", &Profile::power_w)
      .def(
          "prices",
          [](const Profile& p, const std::string& kind, const std::string& dtype) {
            return p.find(parse_kind(kind), Pass::forward, parse_dtype(dtype)) != nullptr;
          },
          arg("kind"), arg("dtype") = "fp32");
}

}  // namespace alphaflops::python
