// What an element type is summed and stored as: floats in float, int8 in int32, which stays so. A
// bias is of the type of the sum.
#pragma once

#include "device.cuh"

namespace alphaflops::cuda {

template <class T>
struct Arithmetic {
  using Sum = float;
  using Output = T;
  static AF_DEVICE float widen(T x) { return to_float(x); }
  static AF_DEVICE T narrow(float x) { return from_float<T>(x); }
};

template <>
struct Arithmetic<signed char> {
  using Sum = int;
  using Output = int;
  static AF_DEVICE int widen(signed char x) { return x; }
  static AF_DEVICE int narrow(int x) { return x; }
};

// Four sums moved as one 16-byte access of shared memory.
template <class Sum>
using Quad = Pack<Sum, 4>;

AF_DEVICE int activate(int x, int activation) {
  if (activation == activation_none) return x;
  x = x < 0 ? 0 : x;
  return activation == activation_relu6 && x > 6 ? 6 : x;
}

}  // namespace alphaflops::cuda
