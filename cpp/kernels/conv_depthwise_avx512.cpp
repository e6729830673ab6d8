// Depthwise convolution, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "conv_depthwise.inl"
// clang-format on

namespace alphaflops::kernels {
const DepthwiseTable conv_depthwise_avx512 = AF_DEPTHWISE_TABLE;
}  // namespace alphaflops::kernels
