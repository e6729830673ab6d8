// Peak arithmetic and memory probes, AVX-512.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx512.inl"
#include "probe.inl"
// clang-format on

namespace alphaflops::kernels {
const ProbeTable probe_avx512 = AF_PROBE_TABLE;
}  // namespace alphaflops::kernels
