// Convolutions whose channels fill no pieces of 16 bytes, run in the emulation.
#include "buffer.hpp"
#include "conv_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_padded(const Problem& problem, const Target& target);
}

using namespace alphaflops::cuda;
using emulate::DType;

constexpr DType dtypes[] = {DType::fp32, DType::tf32, DType::fp16, DType::bf16, DType::int8};

int main() {
  const auto kernels = emulate::kernels_of(
      {"conv_pad.cuh", "conv_simt.cuh", "conv_igemm_fp16.cuh", "conv_igemm_bf16.cuh",
       "conv_igemm_tf32.cuh", "conv_igemm_int8.cuh", "conv_wgmma_fp16.cuh", "conv_wgmma_bf16.cuh",
       "conv_wgmma_tf32.cuh", "conv_wgmma_int8.cuh", "conv_reduce.cuh"});
  emulate::Shapes shapes(11);
  const int count = check::shape_count(80);
  int ran = 0, by_wgmma = 0;
  for (int i = 0; i < count; ++i) {
    const Target target =
        i % 2 == 0 ? Target{80, false, 108, 163 * 1024} : Target{90, true, 132, 227 * 1024};
    const auto channels = shapes.pick({1, 2, 3, 3, 3, 5, 9, 17, 23});
    const auto shape = shapes.shape(channels, shapes.draw(1, 8) * 8, 1, 7);
    const auto problem =
        shapes.problem(shape, dtypes[static_cast<std::size_t>(i) % std::size(dtypes)]);
    const std::vector<Plan> plans = plan_conv_padded(problem, target);
    for (const Plan& plan : plans) by_wgmma += plan.algorithm == "padded_gemm_wgmma" ? 1 : 0;
    ran += emulate::check_forward(problem, plans, kernels, shapes.random);
  }
  CHECK(ran >= count);  // each has a plan
  CHECK(by_wgmma >= count / 5);
  // Nothing to pad, groups, gradients.
  const Target target{80, false, 108, 163 * 1024};
  CHECK(plan_conv_padded({{1, 4, 9, 9, 8, 3, 3}}, target).empty());
  alphaflops::Conv2dShape grouped{1, 6, 9, 9, 8, 3, 3};
  CHECK(!plan_conv_padded({grouped}, target).empty());
  grouped.groups = 2;
  CHECK(plan_conv_padded({grouped}, target).empty());
  grouped.groups = 1;
  CHECK(
      plan_conv_padded({grouped, DType::fp32, alphaflops::Pass::weight_gradient}, target).empty());
  return check::finish();
}
