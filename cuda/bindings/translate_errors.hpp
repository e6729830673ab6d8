// The library's errors as the Python classes of alphaflops.errors, for the modules beside _core.
#pragma once

namespace alphaflops::python {

/// Of the module that calls it.
void translate_errors();

}  // namespace alphaflops::python
