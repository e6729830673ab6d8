// Winograd transforms, AVX2 and FMA.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx2.inl"
#include "winograd.inl"
// clang-format on

namespace alphaflops::kernels {
const WinogradTable winograd_avx2 = AF_WINOGRAD_TABLE;
}  // namespace alphaflops::kernels
