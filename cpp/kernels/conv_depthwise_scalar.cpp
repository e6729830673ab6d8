// Depthwise convolution, one float at a time.
// clang-format off: the vector type comes before what is written in it.
#include "vec_scalar.inl"
#include "conv_depthwise.inl"
// clang-format on

namespace alphaflops::kernels {
const DepthwiseTable conv_depthwise_scalar = AF_DEPTHWISE_TABLE;
}  // namespace alphaflops::kernels
