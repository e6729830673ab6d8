// The vector type of AVX-512 (F, VL, DQ, BW): sixteen floats.
#pragma once

#if defined(__GNUC__) && !defined(__clang__)
// GCC's own header leaves the masked-off source undefined and then warns of it (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#pragma GCC diagnostic ignored "-Wuninitialized"
#endif
#include <immintrin.h>

#include "tables.hpp"

namespace alphaflops::kernels {
namespace {

#define AF_INLINE inline __attribute__((always_inline))

struct Vec {
  __m512 v;
};
constexpr int kLanes = 16;
constexpr int kRegisters = 32;

AF_INLINE __mmask16 first_lanes(std::int64_t n) {
  return static_cast<__mmask16>((1u << static_cast<unsigned>(n)) - 1u);
}
AF_INLINE Vec splat(float x) { return {_mm512_set1_ps(x)}; }
AF_INLINE Vec broadcast(const float* p) { return {_mm512_set1_ps(*p)}; }
AF_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
AF_INLINE Vec load_part(const float* p, std::int64_t n) {
  return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
}
AF_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
AF_INLINE void store_part(float* p, std::int64_t n, Vec a) {
  _mm512_mask_storeu_ps(p, first_lanes(n), a.v);
}
AF_INLINE Vec add(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
AF_INLINE Vec sub(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
AF_INLINE Vec mul(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
AF_INLINE Vec div(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
AF_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// The second operand where either is NaN, so that a clamp written max(low, x) lets a NaN through.
AF_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
AF_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
AF_INLINE Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm512_mask_blend_ps(_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ), no.v, yes.v)};
}
AF_INLINE Vec round_even(Vec a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
AF_INLINE Vec exp2_integer(Vec a) {  // 2^a for whole a in [-126, 127]
  const __m512i n = _mm512_add_epi32(_mm512_cvtps_epi32(a.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(n, 23))};
}
AF_INLINE float sum_lanes(Vec a) {
  __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
AF_INLINE float max_lanes(Vec a) {
  __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

struct Index {
  __m512i v;
};
AF_INLINE Index load_index(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
AF_INLINE Vec permute(Vec a, Index index) { return {_mm512_permutexvar_ps(index.v, a.v)}; }
AF_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

// v[i][j] and v[j][i] change places.
AF_INLINE void turn(Vec (&v)[kLanes]) {
  __m512 t[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i += 2) {
    t[i] = _mm512_unpacklo_ps(v[i].v, v[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(v[i].v, v[i + 1].v);
  }
  // A 128-bit part of u[4 * k + j] holds column j of that part, of rows 4 * k and following.
  __m512 u[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i += 4) {
    u[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {
    const __m512 even_low = _mm512_shuffle_f32x4(u[i], u[i + 4], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(u[i], u[i + 4], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(u[i + 8], u[i + 12], 0xdd);
    v[i].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    v[i + 4].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    v[i + 8].v = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    v[i + 12].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}

}  // namespace
}  // namespace alphaflops::kernels
