// The cost model on many rows, AVX-512.
#include "cost.inl"

namespace alphaflops::kernels {
const CostTable cost_avx512 = AF_COST_TABLE;
}  // namespace alphaflops::kernels
