// Gradients of depthwise convolutions, run in the emulation.
#include <set>

#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_depthwise(const Problem& problem, const Target& target);
std::vector<Plan> plan_conv_depthwise_grad(const Problem& problem, const Target& target);
}  // namespace alphaflops::cuda

namespace {

using namespace emulate;

const std::vector<Entry> forward = kernels_of({"conv_depthwise.cuh"});
const std::vector<Entry> gradients = kernels_of({"conv_depthwise_grad.cuh"});

Problem draw(std::mt19937& random) {
  Problem problem;
  Conv2dShape& s = problem.shape;
  s = random_conv(random);
  s.c_in = s.c_out = s.groups = 4 * (1 + random() % 20);
  if (random() % 2 == 0) {
    s.k_h = s.k_w = 3 + 2 * (random() % 3);
    s.dilation_h = s.dilation_w = 1;
  }
  s.h_in = std::max(s.h_in, (s.k_h - 1) * s.dilation_h + 1);
  s.w_in = std::max(s.w_in, (s.k_w - 1) * s.dilation_w + 1);
  const DType dtypes[] = {DType::fp32, DType::tf32, DType::fp16, DType::bf16};
  problem.dtype = dtypes[random() % 4];
  problem.pass = random() % 2 == 0 ? Pass::input_gradient : Pass::weight_gradient;
  return problem;
}

/// Stride 1 and a square window: what the forward kernels do in reverse.
Problem draw_reversed(std::mt19937& random) {
  Problem problem = draw(random);
  Conv2dShape& s = problem.shape;
  s.k_h = s.k_w = 3 + 2 * (random() % 3);
  s.stride_h = s.stride_w = s.dilation_h = s.dilation_w = 1;
  s.h_in = s.k_h + random() % 9, s.w_in = s.k_w + random() % 9;
  problem.pass = Pass::input_gradient;
  return problem;
}

void check_all(int shapes, const std::vector<Entry>& table, Problem (*draw_problem)(std::mt19937&),
               std::vector<Plan> (*plans_of)(const Problem&, const Target&)) {
  std::mt19937 random(6);
  std::set<std::string> used;
  for (int i = 0; i < check::shape_count(shapes); ++i) {
    const Problem problem = draw_problem(random);
    const std::vector<Plan> found = plans_of(problem, {90, true, 132, 227 * 1024});
    CHECK_MESSAGE(!found.empty(), "no plan for " + describe(problem));
    ConvCase tensors(problem, random);
    for (const Plan& plan : found) {
      block().seed(static_cast<unsigned>(i));
      if (!tensors.run(plan, table)) continue;
      for (const Launch& launch : plan.launches) used.insert(launch.symbol);
    }
  }
  CHECK(check::shape_count(shapes) < shapes || used.size() == table.size());  // each has run
}

}  // namespace

int main() {
  std::vector<Entry> reversible;
  for (const Entry& each : forward) {
    if (each.symbol.find("s1_") != std::string::npos) reversible.push_back(each);
  }
  check_all(200, gradients, draw, plan_conv_depthwise_grad);
  check_all(80, reversible, draw_reversed, plan_conv_depthwise);
  return check::finish();
}
