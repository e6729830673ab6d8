#include "alphaflops/error.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

void bind_errors(py::module_& m) {
  // Each error is also the built-in that Python users catch for the same fault. Translators are
  // tried last-registered first, so the base comes first.
  auto& base = py::register_exception<Error>(m, "Error");
  base.attr("__doc__") = "Whatever goes wrong in alphaflops; all of its errors are of this class.";
  const auto derive = [&](auto tag, const char* name, PyObject* builtin, const char* doc) {
    using E = typename decltype(tag)::type;
    auto& derived = py::register_exception<E>(m, name, py::make_tuple(base, py::handle(builtin)));
    derived.attr("__doc__") = doc;
  };
  derive(std::type_identity<ShapeError>{}, "ShapeError", PyExc_ValueError,
         "A size that no operator, code or array can have here.");
  derive(std::type_identity<OverflowError>{}, "OverflowError", PyExc_OverflowError,
         "A count beyond 2^63 - 1.");
  derive(std::type_identity<UnsupportedError>{}, "UnsupportedError", PyExc_ValueError,
         "A name that is not known, or what is not done; the message says what is.");
  derive(std::type_identity<ModelError>{}, "ModelError", PyExc_ValueError,
         "A network, or a file of one, that cannot be read.");
  derive(std::type_identity<ProfileError>{}, "ProfileError", PyExc_ValueError,
         "A device profile that is malformed, or does not price what it is asked for.");
  derive(std::type_identity<IoError>{}, "IoError", PyExc_OSError,
         "A file that cannot be read or written.");
}

}  // namespace alphaflops::python
