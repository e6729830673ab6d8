// Transposition, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "transpose.inl"
// clang-format on

namespace alphaflops::kernels {
const TransposeTable transpose_avx512{transpose};
}  // namespace alphaflops::kernels
