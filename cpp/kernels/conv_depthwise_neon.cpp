// Depthwise convolution, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "conv_depthwise.inl"
// clang-format on

namespace alphaflops::kernels {
const DepthwiseTable conv_depthwise_neon = AF_DEPTHWISE_TABLE;
}  // namespace alphaflops::kernels
