// Peak arithmetic and memory probes, one float at a time.
// clang-format off: the vector type comes before what is written in it.
#include "vec_scalar.inl"
#include "probe.inl"
// clang-format on

namespace alphaflops::kernels {
const ProbeTable probe_scalar = AF_PROBE_TABLE;
}  // namespace alphaflops::kernels
