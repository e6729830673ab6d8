// The word of bf16 matrix kernels, scalar: two channels, accumulated in fp32.
#pragma once

namespace alphaflops::kernels {
namespace {

using Word = Bf16Word;
using Acc = float;
struct Operand {
  std::uint32_t bits;
};
constexpr int kPerWord = 2;

AF_INLINE Operand load_operand(const Word* p) {
  Operand word;
  __builtin_memcpy(&word.bits, p->bytes, sizeof word.bits);
  return word;
}
AF_INLINE Operand broadcast(const Word* p) { return load_operand(p); }
AF_INLINE void hide_operand(Operand& x) { asm volatile("" : "+r"(x.bits)); }

AF_INLINE float upper_half(std::uint32_t bits) {
  const std::uint32_t whole = bits & 0xffff0000u;
  float x;
  __builtin_memcpy(&x, &whole, sizeof x);
  return x;
}
AF_INLINE void fma_into(Vec& acc, Operand w, Operand x) {
  acc.v +=
      upper_half(w.bits) * upper_half(x.bits) + upper_half(w.bits << 16) * upper_half(x.bits << 16);
}

}  // namespace
}  // namespace alphaflops::kernels
