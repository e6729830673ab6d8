// The fp32 products without tensor cores against double precision, as test_conv_igemm.cpp does.
#include "kernels/conv_reduce.cuh"
#include "kernels/conv_simt.cuh"
#include "kernels/conv_turn_weights.cuh"
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_simt(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

#define X(rows, columns, depth, access) \
  EMULATE_ENTRY(conv_simt_fp32_##rows##x##columns##x##depth##_##access),
const std::vector<Entry> table{AF_CONV_SIMT(X) EMULATE_ENTRY(conv_reduce_fp32),
                               EMULATE_ENTRY(conv_turn_weights_32)};
#undef X

}  // namespace

int main() {
  check_family(
      400, table, [](std::mt19937& random) { return random_problem(random, DType::fp32); },
      plan_conv_simt);
  return check::finish();
}
