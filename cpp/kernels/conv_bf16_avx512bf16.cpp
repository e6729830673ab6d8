// Direct convolution, matrix product and peak on bf16, AVX-512 BF16.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "word_bf16_avx512.inl"
#include "conv_direct.inl"
#include "gemm.inl"
#include "peak_dot.inl"
// clang-format on

namespace alphaflops::kernels {
const NarrowTable<Bf16Word, float> conv_bf16_avx512 = AF_NARROW_TABLE;
}  // namespace alphaflops::kernels
