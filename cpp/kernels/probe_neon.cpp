// Peak arithmetic and memory probes, NEON.
// clang-format off: the vector type comes before what is written in it.
#include "vec_neon.inl"
#include "probe.inl"
// clang-format on

namespace alphaflops::kernels {
const ProbeTable probe_neon = AF_PROBE_TABLE;
}  // namespace alphaflops::kernels
