// The pointwise functions that follow a layer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace alphaflops {

enum class Activation : std::uint8_t {
  none,
  relu,
  relu6,
  sigmoid,
  silu,
  hardsigmoid,
  hardswish,
  gelu,  // with erf, not its tanh approximation
  tanh,
};

inline constexpr std::array<std::string_view, 9> kActivationNames = {
    "none", "relu", "relu6", "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh"};

constexpr std::string_view to_string(Activation activation) {
  return kActivationNames[static_cast<std::size_t>(activation)];
}

/// The activation of that name, or nothing.
constexpr std::optional<Activation> parse_activation(std::string_view name) {
  for (std::size_t i = 0; i < kActivationNames.size(); ++i) {
    if (kActivationNames[i] == name) return static_cast<Activation>(i);
  }
  return std::nullopt;
}

}  // namespace alphaflops
