// Elementwise, pooling and softmax kernels, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "stream.inl"
// clang-format on

namespace alphaflops::kernels {
const StreamTable stream_avx512 = AF_STREAM_TABLE;
}  // namespace alphaflops::kernels
