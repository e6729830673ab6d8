// The cost model on many rows, one row at a time.
#include "cost.inl"

namespace alphaflops::kernels {
const CostTable cost_scalar = AF_COST_TABLE;
}  // namespace alphaflops::kernels
