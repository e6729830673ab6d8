// Convolution of narrow groups, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "conv_grouped.inl"
// clang-format on

namespace alphaflops::kernels {
const GroupedTable conv_grouped_avx512 = AF_GROUPED_TABLE;
}  // namespace alphaflops::kernels
