#include "alphaflops/version.hpp"

static_assert(alphaflops::version == ALPHAFLOPS_VERSION,
              "version.hpp and CMakeLists.txt state different versions; set both");
