// The plan that does every forward convolution.
#include <vector>

#include "../kernels/conv_general_params.cuh"
#include "conv_common.hpp"

namespace alphaflops::cuda {

std::vector<Plan> plan_conv_general(const Problem& problem, const Target&) {
  const auto g = geometry(problem);
  if (!g || problem.pass != Pass::forward) return {};
  const bool four = g->group_in == 1 && g->group_out == 1 && g->c_out % 4 == 0;
  const int channels = four ? g->c_out / 4 : g->c_out;
  ConvGeneralParams params{};
  params.conv = *g;
  params.outputs = static_cast<long long>(g->batch) * g->h_out * g->w_out * channels;
  params.by_channels = make_divisor(static_cast<unsigned>(channels));
  params.by_w_out = make_divisor(static_cast<unsigned>(g->w_out));
  params.by_h_out = make_divisor(static_cast<unsigned>(g->h_out));
  params.by_group_out = make_divisor(static_cast<unsigned>(g->group_out));
  const long long blocks = divide_up<long long>(params.outputs, general_threads);
  if (blocks > std::numeric_limits<int>::max()) return {};
  const std::string tile = four ? "4" : "1";
  Launch launch = conv_launch(
      problem, (four ? "conv_general_depthwise_" : "conv_general_") + simt_dtype(problem.dtype),
      "conv_general.cuh", params);
  launch.grid = {static_cast<unsigned>(blocks), 1, 1};
  launch.block = {general_threads, 1, 1};
  return {one_launch(launch, "general", tile)};
}

}  // namespace alphaflops::cuda
