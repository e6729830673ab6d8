// Functions beside the activations: the other codes of alphaflops::cuda::Function.
#pragma once

#include "stream_activation.cuh"

namespace alphaflops::cuda {

// A function that only a launch of its own has. It is called: copies of all of them in every kernel
// would take long to compile.
AF_CALLED float uncommon(float x, int function) {
  switch (function) {
    case activation_elu: return x > 0.0f ? x : expm1f(x);
    case activation_selu: return 1.05070098f * (x > 0.0f ? x : 1.67326324f * expm1f(x));
    case activation_softplus: return x > 20.0f ? x : log1pf(expf(x));
    case activation_mish: return x > 20.0f ? x : x * tanhf(log1pf(expf(x)));
    case activation_exp: return expf(x);
    case activation_log: return logf(x);
    case activation_erf: return erff(x);
    case activation_sqrt: return sqrtf(x);
    case activation_rsqrt: return rsqrtf(x);
    case activation_reciprocal: return reciprocal(x);
    case activation_abs: return x < 0.0f ? -x : x;
    default: return -x;
  }
}

// Every function. As for activations, the branch is outside of the loop.
template <int count>
AF_DEVICE void apply_all(float (&x)[count], int function) {
  if (function < activation_elu) return activate_all(x, function);
  AF_UNROLL
  for (int i = 0; i < count; ++i) x[i] = uncommon(x[i], function);
}

}  // namespace alphaflops::cuda
