// Gradients of weights as matrix products, against double precision.
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_wgrad(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

const std::vector<Entry> table =
    kernels_of({"conv_wgrad_half.cuh", "conv_wgrad_tf32.cuh", "conv_wgrad_fp32.cuh",
                "conv_reduce_fp32", "conv_reduce_fp16", "conv_reduce_bf16"});

Problem draw(std::mt19937& random) {
  constexpr DType dtypes[] = {DType::fp16, DType::bf16, DType::tf32, DType::fp32};
  Problem problem;
  problem.dtype = dtypes[random() % 4];
  problem.pass = Pass::weight_gradient;
  problem.shape = random_conv(random);
  return problem;
}

}  // namespace

int main() {
  check_family(600, table, draw, plan_conv_wgrad);
  return check::finish();
}
