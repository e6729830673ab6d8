// The products of sm_90a against double precision: descriptors, swizzles and barriers emulated.
#include "kernels/conv_reduce.cuh"
#include "kernels/conv_turn_weights.cuh"
#include "kernels/conv_wgmma_bf16.cuh"
#include "kernels/conv_wgmma_fp16.cuh"
#include "kernels/conv_wgmma_int8.cuh"
#include "kernels/conv_wgmma_tf32.cuh"
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_wgmma(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

#define X(type, columns, stages, access) \
  EMULATE_ENTRY(conv_wgmma_##type##_128x##columns##_s##stages##_##access),
const std::vector<Entry> table{AF_CONV_WGMMA(X, fp16) AF_CONV_WGMMA(X, bf16) AF_CONV_WGMMA(X, tf32)
                                   AF_CONV_WGMMA(X, int8) EMULATE_ENTRY(conv_reduce_fp32),
                               EMULATE_ENTRY(conv_reduce_fp16),
                               EMULATE_ENTRY(conv_reduce_bf16),
                               EMULATE_ENTRY(conv_reduce_int8),
                               EMULATE_ENTRY(conv_turn_weights_16),
                               EMULATE_ENTRY(conv_turn_weights_32)};
#undef X

/// What these kernels do: channels in whole pieces, and a stride of 1 for gradients.
Problem draw(std::mt19937& random) {
  constexpr DType dtypes[] = {DType::fp16, DType::bf16, DType::tf32, DType::int8};
  Problem problem = random_problem(random, dtypes[random() % 4]);
  Conv2dShape& s = problem.shape;
  const int64_t piece = 16 / size_of(problem.dtype);
  s.c_in = s.groups * piece * (1 + static_cast<int64_t>(random() % 4));
  if (random() % 4 == 0) {  // a depth that goes round the ring of tiles and is worth splitting
    s.c_in *= 5, s.k_h = s.k_w = 3;
    s.dilation_h = s.dilation_w = 1;
    s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = 1;
  } else if (random() % 2 == 0) {
    s.k_h = s.k_w = s.stride_h = s.stride_w = 1;
    s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = 0;
  }
  if (problem.pass == Pass::input_gradient) {
    s.c_out = s.groups * piece * (1 + static_cast<int64_t>(random() % 4));
    s.stride_h = s.stride_w = 1;
  }
  return problem;
}

}  // namespace

int main() {
  check_family(200, table, draw, plan_conv_wgmma);
  return check::finish();
}
