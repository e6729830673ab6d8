// What every kernel needs of the device: parameters, dynamic shared memory, conversions.
//
// Under a C++ compiler tests/cuda/emulate.hpp comes first and stands in for the CUDA runtime.
#pragma once

#include "types.cuh"

#define AF_DEVICE __device__ __forceinline__
#define AF_KERNEL extern "C" __global__
#define AF_PARAM const __grid_constant__

#if defined(AF_EMULATED)
#ifndef AF_ARCH
#define AF_ARCH 900  // the architecture that the emulation stands for
#endif
#define AF_UNROLL
#define AF_NO_UNROLL
#define AF_CALLED static
#else
#if defined(__CUDA_ARCH__)
#define AF_ARCH __CUDA_ARCH__
#else
#define AF_ARCH 0  // nvcc's host pass
#endif
#define AF_UNROLL _Pragma("unroll")
#define AF_NO_UNROLL _Pragma("unroll 1")
#define AF_CALLED static __device__ __noinline__
#endif

#if !defined(AF_EMULATED)
extern __shared__ __align__(1024) unsigned char af_shared_bytes[];
AF_DEVICE void* af_dynamic_shared() { return af_shared_bytes; }
#endif

namespace alphaflops::cuda {

// Bits of a value as another type of the same size.
template <class To, class From>
AF_DEVICE To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, from);
}

AF_DEVICE float to_float(float x) { return x; }
AF_DEVICE float to_float(signed char x) { return static_cast<float>(x); }
AF_DEVICE float to_float(bf16_t x) { return bit_cast<float>(static_cast<unsigned>(x.bits) << 16); }
AF_DEVICE float to_float(half_t x) {
#if defined(AF_EMULATED)
  return emulate::half_to_float(x.bits);
#else
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x.bits));
  return y;
#endif
}

// Rounds to nearest, ties to even.
template <class T>
AF_DEVICE T from_float(float x);
template <>
AF_DEVICE float from_float<float>(float x) {
  return x;
}
template <>
AF_DEVICE half_t from_float<half_t>(float x) {
#if defined(AF_EMULATED)
  return {emulate::float_to_half(x)};
#else
  half_t y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#endif
}
template <>
AF_DEVICE bf16_t from_float<bf16_t>(float x) {
#if !defined(AF_EMULATED) && AF_ARCH >= 800
  bf16_t y;
  asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(y.bits) : "f"(x));
  return y;
#else
  const unsigned bits = bit_cast<unsigned>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {0x7fff};  // a NaN stays one
  return {static_cast<unsigned short>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
#endif
}

// `count` elements moved as one access; count * sizeof(T) is 2, 4, 8 or 16 bytes.
template <class T, int count>
struct alignas(sizeof(T) * count) Pack {
  T element[count];
};

// The elements of words as they lie in memory. Halves of a word stay together until here, so that
// nothing is shifted.
template <class T, int words>
AF_DEVICE void to_floats(const Pack<unsigned, words>& from,
                         float (&to)[words * 4 / static_cast<int>(sizeof(T))]) {
  AF_UNROLL
  for (int i = 0; i < words; ++i) {
    const unsigned word = from.element[i];
    if constexpr (sizeof(T) == 4) {
      to[i] = bit_cast<float>(word);
    } else {
      to[2 * i] = to_float(T{static_cast<unsigned short>(word & 0xffffu)});
      to[2 * i + 1] = to_float(T{static_cast<unsigned short>(word >> 16)});
    }
  }
}

// Loads after it are not moved before it, such as out of a loop, where they would take registers.
AF_DEVICE void keep_loads_here() {
#if !defined(AF_EMULATED)
  asm volatile("" ::: "memory");
#endif
}

// The larger and the smaller of two; a NaN where one of them is.
AF_DEVICE float larger(float x, float y) {
#if !defined(AF_EMULATED) && AF_ARCH >= 800
  asm("max.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(y));
  return x;
#else
  return x < y || y != y ? y : x;
#endif
}
AF_DEVICE float smaller(float x, float y) {
#if !defined(AF_EMULATED) && AF_ARCH >= 800
  asm("min.NaN.f32 %0, %0, %1;" : "+f"(x) : "f"(y));
  return x;
#else
  return x > y || y != y ? y : x;
#endif
}

AF_DEVICE float activate(float x, int activation) {
  const float infinity = bit_cast<float>(0x7f800000u);
  x = larger(x, activation == activation_none ? -infinity : 0.0f);
  return smaller(x, activation == activation_relu6 ? 6.0f : infinity);
}

template <class T, int count>
AF_DEVICE Pack<T, count> load(const T* from) {
  return *reinterpret_cast<const Pack<T, count>*>(from);
}

template <class T, int count>
AF_DEVICE void store(T* to, const Pack<T, count>& pack) {
  *reinterpret_cast<Pack<T, count>*>(to) = pack;
}

}  // namespace alphaflops::cuda
