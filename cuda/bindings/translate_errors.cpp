#include "translate_errors.hpp"

#include <pybind11/pybind11.h>

#include <exception>

#include "../src/error.hpp"

namespace alphaflops::python {

namespace {

namespace py = pybind11;

void raise(const char* name, const std::exception& error) {
  const py::object type = py::module_::import("alphaflops.errors").attr(name);
  PyErr_SetString(type.ptr(), error.what());
}

void translate(std::exception_ptr thrown) {
  try {
    if (thrown) std::rethrow_exception(thrown);
  } catch (const cuda::NoDeviceError& error) {
    raise("NoDeviceError", error);
  } catch (const cuda::DriverError& error) {
    raise("DriverError", error);
  } catch (const cuda::DeviceMemoryError& error) {
    raise("DeviceMemoryError", error);
  } catch (const cuda::BrokenContextError& error) {
    raise("BrokenContextError", error);
  } catch (const cuda::DeviceError& error) {
    raise("DeviceError", error);
  } catch (const ShapeError& error) {
    raise("ShapeError", error);
  } catch (const OverflowError& error) {
    raise("OverflowError", error);
  } catch (const UnsupportedError& error) {
    raise("UnsupportedError", error);
  } catch (const Error& error) {
    raise("Error", error);
  }
}

}  // namespace

void translate_errors() { py::register_local_exception_translator(translate); }

}  // namespace alphaflops::python
