// The version of these headers, for the preprocessor and as text.
#pragma once

#include <string_view>

#define ALPHAFLOPS_VERSION_MAJOR 0
#define ALPHAFLOPS_VERSION_MINOR 1
#define ALPHAFLOPS_VERSION_PATCH 0

namespace alphaflops {

inline constexpr std::string_view version = "0.1.0";

}  // namespace alphaflops
