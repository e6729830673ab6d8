// Elementwise, pooling and softmax kernels, AVX2 and FMA.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx2.inl"
#include "stream.inl"
// clang-format on

namespace alphaflops::kernels {
const StreamTable stream_avx2 = AF_STREAM_TABLE;
}  // namespace alphaflops::kernels
