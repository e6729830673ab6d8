// Matrix product, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "word_fp32.inl"
#include "gemm.inl"
// clang-format on

namespace alphaflops::kernels {
const GemmTable<float, float> gemm_neon = AF_GEMM_TABLE;
}  // namespace alphaflops::kernels
