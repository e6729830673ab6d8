// The vector type of int8 matrix kernels, AVX-512 VNNI: sixteen 32-bit sums, and words of four
// channels.
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
  __m512i v;
};
constexpr int kLanes = 16;
constexpr int kRegisters = 32;

using Word = Int8Word;
using Acc = std::int32_t;
struct Operand {
  __m512i v;
};
constexpr int kPerWord = 4;

AF_INLINE __mmask16 first_lanes(std::int64_t n) {
  return static_cast<__mmask16>((1u << static_cast<unsigned>(n)) - 1u);
}
AF_INLINE Vec splat(std::int32_t x) { return {_mm512_set1_epi32(x)}; }
AF_INLINE Vec load(const std::int32_t* p) { return {_mm512_loadu_si512(p)}; }
AF_INLINE Vec load_part(const std::int32_t* p, std::int64_t n) {
  return {_mm512_maskz_loadu_epi32(first_lanes(n), p)};
}
AF_INLINE void store(std::int32_t* p, Vec a) { _mm512_storeu_si512(p, a.v); }
AF_INLINE void store_part(std::int32_t* p, std::int64_t n, Vec a) {
  _mm512_mask_storeu_epi32(p, first_lanes(n), a.v);
}
AF_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_epi32(a.v, b.v)}; }
AF_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_epi32(a.v, b.v)}; }
AF_INLINE Vec add(Vec a, Vec b) { return {_mm512_add_epi32(a.v, b.v)}; }
AF_INLINE std::int32_t sum_lanes(Vec a) { return _mm512_reduce_add_epi32(a.v); }
AF_INLINE void prefetch(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T0); }

AF_INLINE Operand load_operand(const Word* p) { return {_mm512_loadu_si512(p)}; }
AF_INLINE Operand broadcast(const Word* p) {
  int bits;
  __builtin_memcpy(&bits, p->bytes, sizeof bits);
  return {_mm512_set1_epi32(bits)};
}
AF_INLINE void hide_operand(Operand& x) { asm volatile("" : "+v"(x.v)); }
// Written out, as GCC copies every accumulator of the intrinsic (_mm512_dpbusd_epi32) to another
// register and back, and then spills them.
AF_INLINE void fma_into(Vec& acc, Operand w, Operand x) {
  asm("vpdpbusd %2, %1, %0" : "+v"(acc.v) : "v"(x.v), "v"(w.v));
}

}  // namespace
}  // namespace alphaflops::kernels
