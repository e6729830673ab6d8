// Element types, and the macros that let one file compile with nvcc, NVRTC and a C++ compiler.
//
// Host code (cuda/plan) includes this file and those that hold parameters and index arithmetic;
// what runs only in a kernel includes device.cuh.
#pragma once

#if defined(__CUDACC__)
#define AF_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define AF_HOST_DEVICE inline
#endif

namespace alphaflops::cuda {

// Storage of elements narrower than a register; arithmetic is in float.
struct half_t {
  unsigned short bits;
};
struct bf16_t {
  unsigned short bits;
};

// The codes of alphaflops::cuda::Function; the epilogue of a convolution does the first three.
enum ActivationCode : int {
  activation_none,
  activation_relu,
  activation_relu6,
  activation_sigmoid,
  activation_silu,
  activation_hardsigmoid,
  activation_hardswish,
  activation_gelu,
  activation_tanh,
  activation_gelu_tanh,
  activation_leaky_relu,
  // Those from here on are only in launches of their own.
  activation_elu,
  activation_selu,
  activation_softplus,
  activation_mish,
  activation_exp,
  activation_log,
  activation_erf,
  activation_sqrt,
  activation_rsqrt,
  activation_reciprocal,
  activation_abs,
  activation_neg,
};

// Division of 0 <= n < 2^31 by a divisor of 1 <= d < 2^31 known to the host: a multiplication and a
// shift (Granlund and Montgomery, 1994). `q = (mulhi(n, m) + n) >> s`, s = ceil(log2 d).
struct FastDivisor {
  unsigned divisor, multiplier, shift;
};

AF_HOST_DEVICE FastDivisor make_divisor(unsigned divisor) {
  unsigned shift = 0;
  while ((1ull << shift) < divisor) ++shift;
  const unsigned long long excess = (1ull << shift) - divisor;
  return {divisor, static_cast<unsigned>((excess << 32) / divisor + 1), shift};
}

AF_HOST_DEVICE unsigned divide(unsigned n, const FastDivisor& by) {
  const unsigned high =
      static_cast<unsigned>((static_cast<unsigned long long>(n) * by.multiplier) >> 32);
  return (high + n) >> by.shift;
}

// Quotient, and the remainder in place of n.
AF_HOST_DEVICE unsigned divide_keep(unsigned& n, const FastDivisor& by) {
  const unsigned quotient = divide(n, by);
  n -= quotient * by.divisor;
  return quotient;
}

// Index `first + add` as quotient and remainder; only `first` may leave 31 bits, the quotient not.
struct Split {
  unsigned quotient, remainder;
};
AF_HOST_DEVICE Split split(long long first, unsigned add, const FastDivisor& by) {
  const unsigned whole = first < 0x7fffffff
                             ? divide(static_cast<unsigned>(first), by)
                             : static_cast<unsigned>(first / static_cast<long long>(by.divisor));
  Split at;
  at.remainder = static_cast<unsigned>(first - static_cast<long long>(whole) * by.divisor) + add;
  at.quotient = whole + divide_keep(at.remainder, by);
  return at;
}

}  // namespace alphaflops::cuda
