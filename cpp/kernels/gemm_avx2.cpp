// Matrix product, AVX2 and FMA.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx2.inl"
#include "word_fp32.inl"
#include "gemm.inl"
// clang-format on

namespace alphaflops::kernels {
const GemmTable<float, float> gemm_avx2 = AF_GEMM_TABLE;
}  // namespace alphaflops::kernels
