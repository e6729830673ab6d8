// Matrix product, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "word_fp32.inl"
#include "gemm.inl"
// clang-format on

namespace alphaflops::kernels {
const GemmTable<float, float> gemm_avx512 = AF_GEMM_TABLE;
}  // namespace alphaflops::kernels
