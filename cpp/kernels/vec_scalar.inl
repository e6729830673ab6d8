// The vector type of the scalar baseline: one float.
#pragma once

#include "tables.hpp"

namespace alphaflops::kernels {
namespace {

#define AF_INLINE inline __attribute__((always_inline))

struct Vec {
  float v;
};
constexpr int kLanes = 1;
constexpr int kRegisters = 16;

AF_INLINE Vec splat(float x) { return {x}; }
AF_INLINE Vec broadcast(const float* p) { return {*p}; }
AF_INLINE Vec load(const float* p) { return {*p}; }
AF_INLINE Vec load_part(const float* p, std::int64_t) { return {*p}; }
AF_INLINE void store(float* p, Vec a) { *p = a.v; }
AF_INLINE void store_part(float* p, std::int64_t, Vec a) { *p = a.v; }
AF_INLINE Vec add(Vec a, Vec b) { return {a.v + b.v}; }
AF_INLINE Vec sub(Vec a, Vec b) { return {a.v - b.v}; }
AF_INLINE Vec mul(Vec a, Vec b) { return {a.v * b.v}; }
AF_INLINE Vec div(Vec a, Vec b) { return {a.v / b.v}; }
AF_INLINE Vec fma(Vec a, Vec b, Vec c) { return {a.v * b.v + c.v}; }
// The second operand where either is NaN, as the x86 instructions have it.
AF_INLINE Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
AF_INLINE Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
AF_INLINE Vec select_less(Vec a, Vec b, Vec yes, Vec no) { return {a.v < b.v ? yes.v : no.v}; }
AF_INLINE Vec round_even(Vec a) {
  const float magic = 12582912.0f;  // 1.5 * 2^23: adding it drops the fraction
  volatile float t = a.v + magic;
  return {t - magic};
}
AF_INLINE Vec exp2_integer(Vec a) {  // 2^a for whole a in [-126, 127]
  const std::int32_t n = a.v == a.v ? static_cast<std::int32_t>(a.v) : 0;
  const std::int32_t bits = (n + 127) * (1 << 23);
  float out;
  __builtin_memcpy(&out, &bits, sizeof out);
  return {out};
}
AF_INLINE float sum_lanes(Vec a) { return a.v; }
AF_INLINE float max_lanes(Vec a) { return a.v; }

AF_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }
AF_INLINE void turn(Vec (&)[kLanes]) {}

}  // namespace
}  // namespace alphaflops::kernels
