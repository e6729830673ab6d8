// Activation functions in double: what streams and graphs are held against.
#pragma once

#include <algorithm>
#include <cmath>

#include "alphaflops/activation.hpp"

namespace check {

inline double activated(alphaflops::Activation f, double x) {
  using alphaflops::Activation;
  switch (f) {
    case Activation::none: return x;
    case Activation::relu: return std::max(x, 0.0);
    case Activation::relu6: return std::clamp(x, 0.0, 6.0);
    case Activation::sigmoid: return 1.0 / (1.0 + std::exp(-x));
    case Activation::silu: return x / (1.0 + std::exp(-x));
    case Activation::hardsigmoid: return std::clamp(x + 3.0, 0.0, 6.0) / 6.0;
    case Activation::hardswish: return x * std::clamp(x + 3.0, 0.0, 6.0) / 6.0;
    case Activation::gelu: return 0.5 * x * std::erfc(-x * std::sqrt(0.5));
    case Activation::tanh: return std::tanh(x);
  }
  return x;
}

}  // namespace check
