// The cost model on many rows, AVX2 and FMA.
#include "cost.inl"

namespace alphaflops::kernels {
const CostTable cost_avx2 = AF_COST_TABLE;
}  // namespace alphaflops::kernels
