// Winograd's F(4x4, 3x3), run in the emulation.
#include "buffer.hpp"
#include "conv_check.hpp"
#include "kernels/conv_grouped.cuh"
#include "kernels/conv_reduce.cuh"
#include "kernels/conv_simt.cuh"
#include "kernels/conv_winograd.cuh"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_winograd(const Problem& problem, const Target& target);
}

using namespace alphaflops::cuda;

int main() {
// The products may be any family's.
#define GROUPED(pixels, width) EMULATE_ENTRY(conv_grouped_fp32_##pixels##x##width),
#define SIMT(rows, columns, depth, access) \
  EMULATE_ENTRY(conv_simt_fp32_##rows##x##columns##x##depth##_##access),
  const std::vector<emulate::Entry> kernels{
      AF_CONV_GROUPED_TILES(GROUPED) AF_CONV_SIMT(SIMT) EMULATE_ENTRY(conv_reduce_fp32),
      EMULATE_ENTRY(winograd_weights_fp32), EMULATE_ENTRY(winograd_input_fp32),
      EMULATE_ENTRY(winograd_output_fp32)};
#undef SIMT
#undef GROUPED
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
