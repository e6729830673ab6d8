// Convolution of narrow groups, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "conv_grouped.inl"
// clang-format on

namespace alphaflops::kernels {
const GroupedTable conv_grouped_neon = AF_GROUPED_TABLE;
}  // namespace alphaflops::kernels
