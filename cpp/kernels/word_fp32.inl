// The word of fp32 matrix kernels: one channel, whatever the vector type.
#pragma once

namespace alphaflops::kernels {
namespace {

using Word = float;
using Acc = float;
using Operand = Vec;

AF_INLINE Operand load_operand(const Word* p) { return load(p); }
template <class Value>
AF_INLINE void fma_into(Vec& acc, Operand w, Value x) {
  acc = fma(x, w, acc);
}

}  // namespace
}  // namespace alphaflops::kernels
