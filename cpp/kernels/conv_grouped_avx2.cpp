// Convolution of narrow groups, AVX2 and FMA.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx2.inl"
#include "conv_grouped.inl"
// clang-format on

namespace alphaflops::kernels {
const GroupedTable conv_grouped_avx2 = AF_GROUPED_TABLE;
}  // namespace alphaflops::kernels
