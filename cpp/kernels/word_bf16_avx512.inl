// The word of bf16 matrix kernels, AVX-512 BF16: two channels, accumulated in fp32.
//
// VDPBF16PS takes subnormal inputs and results for zero and rounds to nearest, whatever the
// floating-point environment says.
#pragma once

namespace alphaflops::kernels {
namespace {

using Word = Bf16Word;
using Acc = float;
struct Operand {
  __m512i v;
};
constexpr int kPerWord = 2;

AF_INLINE Operand load_operand(const Word* p) { return {_mm512_loadu_si512(p)}; }
AF_INLINE Operand broadcast(const Word* p) {
  int bits;
  __builtin_memcpy(&bits, p->bytes, sizeof bits);
  return {_mm512_set1_epi32(bits)};
}
AF_INLINE void hide_operand(Operand& x) { asm volatile("" : "+v"(x.v)); }
AF_INLINE void fma_into(Vec& acc, Operand w, Operand x) {
#ifdef __clang__  // version 16 crashes on the intrinsic
  asm("vdpbf16ps %2, %1, %0" : "+v"(acc.v) : "v"(w.v), "v"(x.v));
#else
  acc.v = _mm512_dpbf16_ps(acc.v, (__m512bh)w.v, (__m512bh)x.v);
#endif
}

}  // namespace
}  // namespace alphaflops::kernels
