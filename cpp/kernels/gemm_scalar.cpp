// Matrix product, one float at a time.
// clang-format off: the vector type comes before what is written in it.
#include "vec_scalar.inl"
#include "word_fp32.inl"
#include "gemm.inl"
// clang-format on

namespace alphaflops::kernels {
const GemmTable<float, float> gemm_scalar = AF_GEMM_TABLE;
}  // namespace alphaflops::kernels
