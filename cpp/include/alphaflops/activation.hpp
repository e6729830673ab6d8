// The pointwise functions that follow a layer.
#pragma once

#include <cstddef>
#include <cstdint>
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

inline constexpr std::size_t activation_count = 9;

std::string_view to_string(Activation activation);

/// Raises UnsupportedError for a name that is none of the enumerators'.
Activation parse_activation(std::string_view name);

}  // namespace alphaflops
