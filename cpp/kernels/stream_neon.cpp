// Elementwise, pooling and softmax kernels, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "stream.inl"
// clang-format on

namespace alphaflops::kernels {
const StreamTable stream_neon = AF_STREAM_TABLE;
}  // namespace alphaflops::kernels
