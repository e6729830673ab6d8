// The cost model on many rows, NEON.
#include "cost.inl"

namespace alphaflops::kernels {
const CostTable cost_neon = AF_COST_TABLE;
}  // namespace alphaflops::kernels
