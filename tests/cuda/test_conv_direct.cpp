// Convolutions of few input channels, run in the emulation.
#include "buffer.hpp"
#include "conv_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_direct(const Problem& problem, const Target& target);
}

using namespace alphaflops::cuda;

int main() {
  const auto kernels = emulate::kernels_of({"conv_direct.cuh"});
  const Target target{80, false, 108, 163 * 1024};
  emulate::Shapes shapes(1);
  int ran = 0;
  for (int i = 0; i < check::shape_count(250); ++i) {
    const auto shape = shapes.shape(shapes.draw(1, 4), shapes.draw(1, 70), 1, 7);
    for (const auto dtype : {emulate::DType::fp32, emulate::DType::tf32, emulate::DType::fp16,
                             emulate::DType::bf16, emulate::DType::int8}) {
      const auto problem = shapes.problem(shape, dtype);
      ran += emulate::check_forward(problem, plan_conv_direct(problem, target), kernels,
                                    shapes.random);
    }
  }
  CHECK(ran >= check::shape_count(250) * 5);  // each shape has a tile that fits
  // What a block's memory does not hold has fewer tiles, or none.
  alphaflops::Conv2dShape large{1, 4, 64, 64, 64, 31, 31};
  CHECK(plan_conv_direct({large}, target).empty());
  alphaflops::Conv2dShape wide{1, 5, 64, 64, 64, 3, 3};
  CHECK(plan_conv_direct({wide}, target).empty());
  return check::finish();
}
