// Transposition, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "transpose.inl"
// clang-format on

namespace alphaflops::kernels {
const TransposeTable transpose_neon{transpose};
}  // namespace alphaflops::kernels
