// Winograd transforms, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "winograd.inl"
// clang-format on

namespace alphaflops::kernels {
const WinogradTable winograd_avx512 = AF_WINOGRAD_TABLE;
}  // namespace alphaflops::kernels
