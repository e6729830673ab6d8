// Transposition, scalar baseline.
// clang-format off: the vector type comes before what is written in it.
#include "vec_scalar.inl"
#include "transpose.inl"
// clang-format on

namespace alphaflops::kernels {
const TransposeTable transpose_scalar{transpose};
}  // namespace alphaflops::kernels
