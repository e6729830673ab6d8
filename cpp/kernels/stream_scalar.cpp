// Elementwise, pooling and softmax kernels, one float at a time.
// clang-format off: the vector type comes before what is written in it.
#include "vec_scalar.inl"
#include "stream.inl"
// clang-format on

namespace alphaflops::kernels {
const StreamTable stream_scalar = AF_STREAM_TABLE;
}  // namespace alphaflops::kernels
