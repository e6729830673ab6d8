// The tensor-core products against double precision: every tile, both passes, over random shapes.
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_igemm(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

const std::vector<Entry> table =
    kernels_of({"conv_igemm_fp16.cuh", "conv_igemm_bf16.cuh", "conv_igemm_tf32.cuh",
                "conv_igemm_int8.cuh", "conv_reduce.cuh", "conv_turn_weights.cuh"});

}  // namespace

int main() {
  constexpr DType dtypes[] = {DType::fp16, DType::bf16, DType::tf32, DType::int8};
  const auto draw = [&](std::mt19937& random) {
    Problem problem = random_problem(random, dtypes[random() % 4]);
    if (random() % 16 == 0) problem.shape.c_in *= 8;  // a depth worth splitting
    return problem;
  };
  check_family(850, table, draw, plan_conv_igemm);
  return check::finish();
}
