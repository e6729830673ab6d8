#include "alphaflops/error.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

void bind_errors(py::module_& m) {
  // Each error is also the built-in that Python users catch for the same fault. Translators are
  // tried last-registered first, so the base comes first.
  auto& base = py::register_exception<Error>(m, "Error");
  const auto derive = [&](auto tag, const char* name, PyObject* builtin) {
    using E = typename decltype(tag)::type;
    py::register_exception<E>(m, name, py::make_tuple(base, py::handle(builtin)));
  };
  derive(std::type_identity<ShapeError>{}, "ShapeError", PyExc_ValueError);
  derive(std::type_identity<OverflowError>{}, "OverflowError", PyExc_OverflowError);
  derive(std::type_identity<UnsupportedError>{}, "UnsupportedError", PyExc_ValueError);
  derive(std::type_identity<ModelError>{}, "ModelError", PyExc_ValueError);
  derive(std::type_identity<ProfileError>{}, "ProfileError", PyExc_ValueError);
  derive(std::type_identity<IoError>{}, "IoError", PyExc_OSError);
}

}  // namespace alphaflops::python
