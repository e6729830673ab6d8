// What the probes of matrix pipes multiply.
#pragma once

#include "device.cuh"

namespace alphaflops::cuda {

// Two halves, two bf16, a tf32 or four bytes that are neither zero nor large, of either sign: what
// a multiplier draws, and with it the clock, depends on its operands.
template <class Element>
AF_DEVICE unsigned probe_operand(unsigned seed) {
  const unsigned bits = (seed + 1u) * 2654435761u;
  if constexpr (sizeof(Element) == 1) return bits;
  return (bits & 0x83ff83ffu) | 0x38003800u;
}
template <>
AF_DEVICE unsigned probe_operand<bf16_t>(unsigned seed) {
  return (((seed + 1u) * 2654435761u) & 0x807f807fu) | 0x3f003f00u;
}
template <>
AF_DEVICE unsigned probe_operand<float>(unsigned seed) {
  return (((seed + 1u) * 2654435761u) & 0x807fe000u) | 0x3f000000u;
}

}  // namespace alphaflops::cuda
