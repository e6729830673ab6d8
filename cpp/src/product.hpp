// Products and sums of sizes, checked, that name the layer.
#pragma once

#include <cstdint>

#include "alphaflops/error.hpp"

namespace alphaflops {

template <typename... Factors>
std::int64_t product(const char* what, std::int64_t first, Factors... rest) {
  ((first = checked_mul(first, rest, what)), ...);
  return first;
}

}  // namespace alphaflops
