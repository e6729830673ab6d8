// The tensor-core products against double precision: every tile, both passes, over random shapes.
#include "kernels/conv_igemm_bf16.cuh"
#include "kernels/conv_igemm_fp16.cuh"
#include "kernels/conv_igemm_int8.cuh"
#include "kernels/conv_igemm_tf32.cuh"
#include "kernels/conv_reduce.cuh"
#include "kernels/conv_turn_weights.cuh"
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_igemm(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

#define X(type, rows, columns, depth, warps_m, warps_n, stages, access) \
  EMULATE_ENTRY(conv_igemm_##type##_##rows##x##columns##x##depth##_s##stages##_##access),
const std::vector<Entry> table{AF_CONV_IGEMM_FP16(X) AF_CONV_IGEMM_FP16_SM75(X)
                                   AF_CONV_IGEMM_BF16(X) AF_CONV_IGEMM_TF32(X) AF_CONV_IGEMM_INT8(X)
                                       AF_CONV_IGEMM_INT8_SM75(X) EMULATE_ENTRY(conv_reduce_fp32),
                               EMULATE_ENTRY(conv_reduce_fp16),
                               EMULATE_ENTRY(conv_reduce_bf16),
                               EMULATE_ENTRY(conv_reduce_int8),
                               EMULATE_ENTRY(conv_turn_weights_16),
                               EMULATE_ENTRY(conv_turn_weights_32)};
#undef X

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
