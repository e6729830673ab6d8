// The vector type of AVX2 with FMA: eight floats.
#pragma once

#include <immintrin.h>

#include "tables.hpp"

namespace alphaflops::kernels {
namespace {

#define AF_INLINE inline __attribute__((always_inline))

struct Vec {
  __m256 v;
};
constexpr int kLanes = 8;
constexpr int kRegisters = 16;

alignas(64) const std::int32_t kMask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};

AF_INLINE __m256i first_lanes(std::int64_t n) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kMask + (kLanes - n)));
}
AF_INLINE Vec splat(float x) { return {_mm256_set1_ps(x)}; }
AF_INLINE Vec broadcast(const float* p) { return {_mm256_broadcast_ss(p)}; }
AF_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p)}; }
AF_INLINE Vec load_part(const float* p, std::int64_t n) {
  return {_mm256_maskload_ps(p, first_lanes(n))};
}
AF_INLINE void store(float* p, Vec a) { _mm256_storeu_ps(p, a.v); }
AF_INLINE void store_part(float* p, std::int64_t n, Vec a) {
  _mm256_maskstore_ps(p, first_lanes(n), a.v);
}
AF_INLINE Vec add(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
AF_INLINE Vec sub(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
AF_INLINE Vec mul(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
AF_INLINE Vec div(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
AF_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
AF_INLINE Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }
AF_INLINE Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
AF_INLINE Vec select_less(Vec a, Vec b, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(a.v, b.v, _CMP_LT_OQ))};
}
AF_INLINE Vec round_even(Vec a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
AF_INLINE Vec exp2_integer(Vec a) {  // 2^a for whole a in [-126, 127]
  const __m256i n = _mm256_add_epi32(_mm256_cvtps_epi32(a.v), _mm256_set1_epi32(127));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(n, 23))};
}
AF_INLINE float sum_lanes(Vec a) {
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
AF_INLINE float max_lanes(Vec a) {
  __m128 s = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  s = _mm_max_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}

struct Index {
  __m256i v;
};
AF_INLINE Index load_index(const std::int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
AF_INLINE Vec permute(Vec a, Index index) { return {_mm256_permutevar8x32_ps(a.v, index.v)}; }
AF_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

// v[i][j] and v[j][i] change places.
AF_INLINE void turn(Vec (&v)[kLanes]) {
  __m256 t[kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; i += 2) {
    t[i] = _mm256_unpacklo_ps(v[i].v, v[i + 1].v);
    t[i + 1] = _mm256_unpackhi_ps(v[i].v, v[i + 1].v);
  }
  // A 128-bit part of u[4 * k + j] holds column j of that part, of rows 4 * k and following.
  __m256 u[kLanes];
#pragma GCC unroll 8
  for (int i = 0; i < kLanes; i += 4) {
    u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
    u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
    u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
    u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    v[i].v = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
    v[i + 4].v = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
  }
}

}  // namespace
}  // namespace alphaflops::kernels
