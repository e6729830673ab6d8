// Depthwise and grouped convolutions, and the kernel for any shape, run in the emulation.
#include "buffer.hpp"
#include "conv_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_depthwise(const Problem& problem, const Target& target);
std::vector<Plan> plan_conv_grouped(const Problem& problem, const Target& target);
std::vector<Plan> plan_conv_general(const Problem& problem, const Target& target);
}  // namespace alphaflops::cuda

using namespace alphaflops::cuda;
using emulate::check_forward;
using emulate::DType;

namespace {

const Target target{80, false, 108, 163 * 1024};
const std::initializer_list<DType> all{DType::fp32, DType::fp16, DType::bf16, DType::int8,
                                       DType::tf32};

void depthwise(emulate::Shapes& shapes, int count) {
  const auto kernels = emulate::kernels_of({"conv_depthwise.cuh"});
  for (int i = 0; i < count; ++i) {
    const auto channels = shapes.draw(1, 12) * 8;
    auto shape = shapes.shape(channels, channels, channels);
    shape.k_h = shape.k_w = shapes.pick({3, 5, 7});
    shape.stride_h = shape.stride_w = shapes.draw(1, 2);
    shape.dilation_h = shape.dilation_w = 1;
    shapes.size(shape, 20);
    for (const DType dtype : all) {
      const auto problem = shapes.problem(shape, dtype);
      const int ran =
          check_forward(problem, plan_conv_depthwise(problem, target), kernels, shapes.random);
      CHECK(ran >= (dtype == DType::int8 ? 0 : 1));
    }
  }
}

void grouped(emulate::Shapes& shapes, int count) {
  const auto kernels = emulate::kernels_of({"conv_grouped.cuh"});
  int ran = 0;
  for (int i = 0; i < count; ++i) {
    const auto groups = shapes.draw(2, 9);
    const auto in = shapes.pick({2, 4, 6, 8, 12, 16, 32}), out = shapes.pick({2, 4, 6, 8, 16, 32});
    const auto shape = shapes.shape(groups * in, groups * out, groups, 3);
    for (const DType dtype : all) {
      const auto problem = shapes.problem(shape, dtype);
      ran += check_forward(problem, plan_conv_grouped(problem, target), kernels, shapes.random);
    }
  }
  CHECK(ran >= count * 5);
}

void general(emulate::Shapes& shapes, int count) {
  const auto kernels = emulate::kernels_of({"conv_general.cuh"});
  for (int i = 0; i < count; ++i) {
    const auto groups = shapes.draw(1, 9);
    const bool narrow = shapes.draw(0, 2) == 0;
    const auto shape =
        narrow ? shapes.shape(groups * 4, groups * 4, groups * 4)
               : shapes.shape(groups * shapes.draw(1, 9), groups * shapes.draw(1, 9), groups);
    for (const DType dtype : all) {
      const auto problem = shapes.problem(shape, dtype);
      CHECK(check_forward(problem, plan_conv_general(problem, target), kernels, shapes.random) ==
            1);
    }
  }
}

}  // namespace

int main() {
  emulate::Shapes shapes(2);
  const int count = check::shape_count(200);
  depthwise(shapes, count);
  grouped(shapes, count);
  general(shapes, count);
  return check::finish();
}
