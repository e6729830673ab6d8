// Winograd transforms, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "winograd.inl"
// clang-format on

namespace alphaflops::kernels {
const WinogradTable winograd_neon = AF_WINOGRAD_TABLE;
}  // namespace alphaflops::kernels
