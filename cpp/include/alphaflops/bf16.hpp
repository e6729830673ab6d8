// The upper half of an fp32: eight bits of exponent, seven of fraction.
#pragma once

#include <bit>
#include <cstdint>

namespace alphaflops {

struct Bf16 {
  std::uint16_t bits;
};

/// The nearest bf16, of two equally near ones the even; a NaN stays a NaN.
inline Bf16 to_bf16(float x) {
  const auto bits = std::bit_cast<std::uint32_t>(x);
  if (x != x) return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

inline float to_float(Bf16 x) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(x.bits) << 16);
}

}  // namespace alphaflops
