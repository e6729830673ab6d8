// Depthwise convolution, AVX2 and FMA.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx2.inl"
#include "conv_depthwise.inl"
// clang-format on

namespace alphaflops::kernels {
const DepthwiseTable conv_depthwise_avx2 = AF_DEPTHWISE_TABLE;
}  // namespace alphaflops::kernels
