// Winograd's F(4x4, 3x3), run in the emulation.
#include "buffer.hpp"
#include "conv_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_winograd(const Problem& problem, const Target& target);
}

using namespace alphaflops::cuda;

int main() {
  // The products may be any family's.
  const auto kernels = emulate::kernels_of(
      {"conv_grouped.cuh", "conv_simt.cuh", "conv_reduce.cuh", "conv_winograd.cuh"});
  const Target target{80, false, 108, 163 * 1024};
  emulate::Shapes shapes(5);
  int ran = 0;
  const int count = check::shape_count(120);
  for (int i = 0; i < count; ++i) {
    auto shape = shapes.shape(shapes.draw(1, 40), shapes.draw(1, 40), 1);
    shape.k_h = shape.k_w = 3;
    shape.stride_h = shape.stride_w = shape.dilation_h = shape.dilation_w = 1;
    shapes.size(shape, 13);
    const auto problem = shapes.problem(shape, emulate::DType::fp32);
    ran += emulate::check_forward(problem, plan_conv_winograd(problem, target), kernels,
                                  shapes.random);
  }
  CHECK(ran >= count);
  alphaflops::Conv2dShape strided{1, 8, 9, 9, 8, 3, 3, 2, 1};
  CHECK(plan_conv_winograd({strided}, target).empty());
  return check::finish();
}
