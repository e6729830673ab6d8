// Winograd transforms, scalar baseline.
// clang-format off: the vector type comes before what is written in it.
#include "vec_scalar.inl"
#include "winograd.inl"
// clang-format on

namespace alphaflops::kernels {
const WinogradTable winograd_scalar = AF_WINOGRAD_TABLE;
}  // namespace alphaflops::kernels
