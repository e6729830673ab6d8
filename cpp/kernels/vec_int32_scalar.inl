// The vector type of int8 matrix kernels, scalar: one 32-bit sum, and words of four channels.
#pragma once

#include "tables.hpp"

namespace alphaflops::kernels {
namespace {

#define AF_INLINE inline __attribute__((always_inline))

struct Vec {
  std::int32_t v;
};
constexpr int kLanes = 1;
constexpr int kRegisters = 16;

using Word = Int8Word;
using Acc = std::int32_t;
struct Operand {
  std::uint32_t bits;
};
constexpr int kPerWord = 4;

AF_INLINE Vec splat(std::int32_t x) { return {x}; }
AF_INLINE Vec load(const std::int32_t* p) { return {*p}; }
AF_INLINE Vec load_part(const std::int32_t* p, std::int64_t) { return {*p}; }
AF_INLINE void store(std::int32_t* p, Vec a) { *p = a.v; }
AF_INLINE void store_part(std::int32_t* p, std::int64_t, Vec a) { *p = a.v; }
AF_INLINE Vec max(Vec a, Vec b) { return {a.v > b.v ? a.v : b.v}; }
AF_INLINE Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
AF_INLINE Vec add(Vec a, Vec b) {  // wraps, as the vector instruction does
  std::int32_t sum;
  static_cast<void>(__builtin_add_overflow(a.v, b.v, &sum));
  return {sum};
}
AF_INLINE std::int32_t sum_lanes(Vec a) { return a.v; }
AF_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }

AF_INLINE Operand load_operand(const Word* p) {
  Operand word;
  __builtin_memcpy(&word.bits, p->bytes, sizeof word.bits);
  return word;
}
AF_INLINE Operand broadcast(const Word* p) { return load_operand(p); }
AF_INLINE void hide_operand(Operand& x) { asm volatile("" : "+r"(x.bits)); }
AF_INLINE void fma_into(Vec& acc, Operand w, Operand x) {
#pragma GCC unroll 4
  for (int shift = 0; shift < 32; shift += 8) {
    const int weight = static_cast<signed char>((w.bits >> shift) & 0xffu);
    const int value = static_cast<int>((x.bits >> shift) & 0xffu);
    acc = add(acc, {weight * value});
  }
}

}  // namespace
}  // namespace alphaflops::kernels
