// Direct convolution, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "word_fp32.inl"
#include "conv_direct.inl"
// clang-format on

namespace alphaflops::kernels {
const ConvDirectTable<float, float> conv_direct_avx512 = AF_CONV_DIRECT_TABLE;
}  // namespace alphaflops::kernels
