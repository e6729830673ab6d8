// Transposition, AVX2.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx2.inl"
#include "transpose.inl"
// clang-format on

namespace alphaflops::kernels {
const TransposeTable transpose_avx2{transpose};
}  // namespace alphaflops::kernels
