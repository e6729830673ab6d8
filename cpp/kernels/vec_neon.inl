// The vector type of NEON, which every AArch64 processor has: four floats.
#pragma once

#include <arm_neon.h>

#include "tables.hpp"

namespace alphaflops::kernels {
namespace {

#define AF_INLINE inline __attribute__((always_inline))

struct Vec {
  float32x4_t v;
};
constexpr int kLanes = 4;
constexpr int kRegisters = 32;

AF_INLINE Vec splat(float x) { return {vdupq_n_f32(x)}; }
// A multiply-add can take its factor from one lane. Loading that lane alone leaves the vector units
// free, which spreading a value over a register takes time of: compilers would, but for the
// assembly.
struct Broadcast {
  float v;
};
AF_INLINE Broadcast broadcast(const float* p) {
  float x = *p;
  asm("" : "+w"(x));
  return {x};
}
AF_INLINE Vec load(const float* p) { return {vld1q_f32(p)}; }
// Lanes that do not exist take the last that does, and are cleared.
AF_INLINE Vec load_part(const float* p, std::int64_t n) {
  const std::int64_t last = n - 1;
  float32x4_t a = vld1q_dup_f32(p + (last < 3 ? last : 3));
  a = vld1q_lane_f32(p, a, 0);
  a = vld1q_lane_f32(p + (last < 1 ? last : 1), a, 1);
  a = vld1q_lane_f32(p + (last < 2 ? last : 2), a, 2);
  const int32x4_t lane = {0, 1, 2, 3};
  const uint32x4_t exists = vcltq_s32(lane, vdupq_n_s32(static_cast<std::int32_t>(n)));
  return {vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(a), exists))};
}
AF_INLINE void store(float* p, Vec a) { vst1q_f32(p, a.v); }
// From the last lane down: lanes that do not exist go where the last that does is written later.
AF_INLINE void store_part(float* p, std::int64_t n, Vec a) {
  const std::int64_t last = n - 1;
  vst1q_lane_f32(p + (last < 3 ? last : 3), a.v, 3);
  vst1q_lane_f32(p + (last < 2 ? last : 2), a.v, 2);
  vst1q_lane_f32(p + (last < 1 ? last : 1), a.v, 1);
  vst1q_lane_f32(p, a.v, 0);
}
AF_INLINE Vec add(Vec a, Vec b) { return {vaddq_f32(a.v, b.v)}; }
AF_INLINE Vec sub(Vec a, Vec b) { return {vsubq_f32(a.v, b.v)}; }
AF_INLINE Vec mul(Vec a, Vec b) { return {vmulq_f32(a.v, b.v)}; }
AF_INLINE Vec div(Vec a, Vec b) { return {vdivq_f32(a.v, b.v)}; }
AF_INLINE Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.v, a.v, b.v)}; }
AF_INLINE Vec fma(Broadcast a, Vec b, Vec c) { return {vfmaq_n_f32(c.v, b.v, a.v)}; }
AF_INLINE Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return {vbslq_f32(vcltq_f32(a.v, b.v), yes.v, no.v)};
}
// NaN where either is, while x86 takes the second: both let a NaN through a clamp.
AF_INLINE Vec max(Vec a, Vec b) { return {vmaxq_f32(a.v, b.v)}; }
AF_INLINE Vec min(Vec a, Vec b) { return {vminq_f32(a.v, b.v)}; }
AF_INLINE Vec round_even(Vec a) { return {vrndnq_f32(a.v)}; }
AF_INLINE Vec exp2_integer(Vec a) {  // 2^a for whole a in [-126, 127]
  const int32x4_t n = vaddq_s32(vcvtq_s32_f32(a.v), vdupq_n_s32(127));
  return {vreinterpretq_f32_s32(vshlq_n_s32(n, 23))};
}
AF_INLINE float sum_lanes(Vec a) { return vaddvq_f32(a.v); }
AF_INLINE float max_lanes(Vec a) { return vmaxvq_f32(a.v); }

struct Index {
  uint8x16_t v;  // the bytes of the lanes
};
AF_INLINE Index load_index(const std::int32_t* p) {
  const uint32x4_t lane = vreinterpretq_u32_s32(vld1q_s32(p));
  return {vreinterpretq_u8_u32(vmlaq_n_u32(vdupq_n_u32(0x03020100), lane, 0x04040404))};
}
AF_INLINE Vec permute(Vec a, Index index) {
  return {vreinterpretq_f32_u8(vqtbl1q_u8(vreinterpretq_u8_f32(a.v), index.v))};
}
AF_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }

// v[i][j] and v[j][i] change places.
AF_INLINE void turn(Vec (&v)[kLanes]) {
  const float32x4x2_t top = vtrnq_f32(v[0].v, v[1].v);
  const float32x4x2_t bottom = vtrnq_f32(v[2].v, v[3].v);
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    v[i].v = vcombine_f32(vget_low_f32(top.val[i]), vget_low_f32(bottom.val[i]));
    v[i + 2].v = vcombine_f32(vget_high_f32(top.val[i]), vget_high_f32(bottom.val[i]));
  }
}

}  // namespace
}  // namespace alphaflops::kernels
