// Peak arithmetic and memory probes, AVX2 and FMA.
// clang-format off: the vector type comes before what is written in it.
#include "vec_avx2.inl"
#include "probe.inl"
// clang-format on

namespace alphaflops::kernels {
const ProbeTable probe_avx2 = AF_PROBE_TABLE;
}  // namespace alphaflops::kernels
