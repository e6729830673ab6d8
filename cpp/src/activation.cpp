#include "alphaflops/activation.hpp"

#include <array>
#include <string>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

constexpr std::array<std::string_view, activation_count> activation_names{
    "none", "relu", "relu6", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh"};

}  // namespace

std::string_view to_string(Activation activation) {
  return activation_names[static_cast<std::size_t>(activation)];
}

Activation parse_activation(std::string_view name) {
  for (std::size_t i = 0; i < activation_names.size(); ++i) {
    if (activation_names[i] == name) return static_cast<Activation>(i);
  }
  std::string known;
  for (const std::string_view n : activation_names)
    known += (known.empty() ? "" : ", ") + std::string(n);
  throw UnsupportedError("activation '" + std::string(name) + "' is not known; use one of " +
                         known);
}

}  // namespace alphaflops
