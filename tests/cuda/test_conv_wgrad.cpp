// Gradients of weights as matrix products, against double precision.
#include "kernels/conv_reduce.cuh"
#include "kernels/conv_wgrad_fp32.cuh"
#include "kernels/conv_wgrad_half.cuh"
#include "kernels/conv_wgrad_tf32.cuh"
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_wgrad(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

#define X(type, rows, columns, depth, warps_m, warps_n, stages, access) \
  EMULATE_ENTRY(conv_wgrad_##type##_##rows##x##columns##x##depth##_s##stages##_##access),
#define X_FP32(rows, columns, depth, access) \
  EMULATE_ENTRY(conv_wgrad_fp32_##rows##x##columns##x##depth##_##access),
const std::vector<Entry> table{AF_CONV_WGRAD_FP16(X) AF_CONV_WGRAD_FP16_SM75(X)
                                   AF_CONV_WGRAD_BF16(X) AF_CONV_WGRAD_TF32(X)
                                       AF_CONV_WGRAD_FP32(X_FP32) EMULATE_ENTRY(conv_reduce_fp32),
                               EMULATE_ENTRY(conv_reduce_fp16), EMULATE_ENTRY(conv_reduce_bf16)};
#undef X
#undef X_FP32

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
