// Direct convolution, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "word_fp32.inl"
#include "conv_direct.inl"
// clang-format on

namespace alphaflops::kernels {
const ConvDirectTable<float, float> conv_direct_neon = AF_CONV_DIRECT_TABLE;
}  // namespace alphaflops::kernels
