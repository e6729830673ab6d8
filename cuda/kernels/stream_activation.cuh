// Activations: the first codes of alphaflops::cuda::Function.
#pragma once

#include "device.cuh"

namespace alphaflops::cuda {

// 1 / x to the last bit or the one before, in one instruction.
AF_DEVICE float reciprocal(float x) {
#if defined(AF_EMULATED)
  return 1.0f / x;
#else
  float y;
  asm("rcp.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
#endif
}

AF_DEVICE float sigmoid(float x) { return reciprocal(1.0f + expf(-x)); }

AF_DEVICE float clamp6(float x) {
  x = x < 0.0f ? 0.0f : x;
  return x > 6.0f ? 6.0f : x;
}

// f of each of x. The branch on f is outside of the loop, one for all of them.
template <int count>
AF_DEVICE void activate_all(float (&x)[count], int activation) {
  const auto each = [&x](auto f) {
    AF_UNROLL
    for (int i = 0; i < count; ++i) x[i] = f(x[i]);
  };
  switch (activation) {
    case activation_relu: return each([](float v) { return v < 0.0f ? 0.0f : v; });
    case activation_relu6: return each([](float v) { return clamp6(v); });
    case activation_sigmoid: return each([](float v) { return sigmoid(v); });
    case activation_silu: return each([](float v) { return v * sigmoid(v); });
    case activation_hardsigmoid:
      return each([](float v) { return clamp6(v + 3.0f) * (1.0f / 6.0f); });
    case activation_hardswish:
      return each([](float v) { return v * clamp6(v + 3.0f) * (1.0f / 6.0f); });
    case activation_gelu: return each([](float v) { return 0.5f * v * erfcf(-v * 0.70710678f); });
    case activation_tanh: return each([](float v) { return tanhf(v); });
    case activation_gelu_tanh:  // sqrt(2 / pi); 1 + tanh(z) is twice the sigmoid of 2 z
      return each([](float v) { return v * sigmoid(1.59576912f * (v + 0.044715f * v * v * v)); });
    case activation_leaky_relu: return each([](float v) { return v < 0.0f ? 0.01f * v : v; });
    default: return;
  }
}

}  // namespace alphaflops::cuda
