// The fp32 products without tensor cores against double precision, as test_conv_igemm.cpp does.
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_simt(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

const std::vector<Entry> table =
    kernels_of({"conv_simt.cuh", "conv_reduce_fp32", "conv_turn_weights_32"});

}  // namespace

int main() {
  check_family(
      400, table, [](std::mt19937& random) { return random_problem(random, DType::fp32); },
      plan_conv_simt);
  return check::finish();
}
