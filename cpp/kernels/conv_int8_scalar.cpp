// Direct convolution, matrix product and peak on int8, scalar baseline.
// clang-format off: the vector type comes before what is written in it.
#include "vec_int32_scalar.inl"
#include "conv_direct.inl"
#include "gemm.inl"
#include "peak_dot.inl"
// clang-format on

namespace alphaflops::kernels {
const NarrowTable<Int8Word, std::int32_t> conv_int8_scalar = AF_NARROW_TABLE;
}  // namespace alphaflops::kernels
