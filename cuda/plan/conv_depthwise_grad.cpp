// Plans of the gradients of depthwise convolutions.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/conv_depthwise_grad_params.cuh"
#include "conv_common.hpp"

namespace alphaflops::cuda {

namespace {

Launch launch_of(std::string symbol, std::array<unsigned, 3> grid,
                 std::vector<std::byte> parameters, std::vector<Pointer> pointers) {
  Launch launch;
  launch.symbol = std::move(symbol);
  launch.header = "conv_depthwise_grad.cuh";
  launch.grid = grid;
  launch.block = {depthwise_grad_threads, 1, 1};
  launch.parameters = std::move(parameters);
  launch.pointers = std::move(pointers);
  return launch;
}

unsigned blocks_for(std::int64_t items) {
  return static_cast<unsigned>(divide_up<std::int64_t>(items, depthwise_grad_threads));
}

Plan input_gradient_plan(const ConvGeometry& g, const std::string& dtype) {
  DepthwiseInputGradParams params{};
  params.conv = g;
  params.items =
      static_cast<long long>(g.batch) * g.h_in * g.w_in * (g.c_in / depthwise_grad_width);
  params.by_channel_packs = make_divisor(static_cast<unsigned>(g.c_in / depthwise_grad_width));
  params.by_w_in = make_divisor(static_cast<unsigned>(g.w_in));
  params.by_h_in = make_divisor(static_cast<unsigned>(g.h_in));
  params.by_stride_h = make_divisor(static_cast<unsigned>(g.stride_h));
  params.by_stride_w = make_divisor(static_cast<unsigned>(g.stride_w));
  return one_launch(
      launch_of("depthwise_input_grad_" + dtype, {blocks_for(params.items), 1, 1}, bytes_of(params),
                {{offsetof(DepthwiseInputGradParams, output_gradient), Buffer::output_gradient},
                 {offsetof(DepthwiseInputGradParams, weights), Buffer::weights},
                 {offsetof(DepthwiseInputGradParams, output), Buffer::output}}),
      "depthwise", "gather");
}

Plan weight_gradient(const ConvGeometry& g, DType type, const std::string& dtype,
                     const Target& target) {
  const int taps = g.k_w == 3 || g.k_w == 5 || g.k_w == 7 ? g.k_w : 1;
  const int most_lanes = line_bytes / (depthwise_grad_width * static_cast<int>(size_of(type)));
  DepthwiseWeightGradParams params{};
  params.conv = g;
  params.lanes = 1;
  while (params.lanes < most_lanes && params.lanes * depthwise_grad_width < g.c_in)
    params.lanes *= 2;
  params.pixels = g.batch * g.h_out * g.w_out;
  params.taps_of_row = g.k_w / taps;
  params.by_w_out = make_divisor(static_cast<unsigned>(g.w_out));
  params.by_h_out = make_divisor(static_cast<unsigned>(g.h_out));
  // Runs enough to fill the device, but none of fewer pixels than a thread has steps to amortise.
  const int across = divide_up(g.c_in, params.lanes * depthwise_grad_width);
  const int rows = g.k_h * params.taps_of_row;
  const int filling = divide_up(target.sm_count * 8, across * rows);
  const int least = depthwise_grad_threads / params.lanes * 4;
  const int wanted = std::clamp(filling, 1, divide_up(params.pixels, least));
  params.run = divide_up(params.pixels, wanted);
  const int runs = divide_up(params.pixels, params.run);

  DepthwiseReduceParams reduce{};
  reduce.runs = runs;
  reduce.taps = g.k_h * g.k_w;
  reduce.channels = g.c_in;
  reduce.by_channels = make_divisor(static_cast<unsigned>(g.c_in));

  Plan plan;
  plan.algorithm = "depthwise";
  plan.tile = std::to_string(taps);
  plan.workspace_bytes = 4LL * runs * reduce.taps * g.c_in;
  plan.launches.push_back(launch_of(
      "depthwise_weight_grad_" + dtype + "_" + std::to_string(taps),
      {static_cast<unsigned>(runs), static_cast<unsigned>(across), static_cast<unsigned>(rows)},
      bytes_of(params),
      {{offsetof(DepthwiseWeightGradParams, input), Buffer::input},
       {offsetof(DepthwiseWeightGradParams, output_gradient), Buffer::output_gradient},
       {offsetof(DepthwiseWeightGradParams, partials), Buffer::workspace}}));
  plan.launches[0].shared_bytes =
      static_cast<unsigned>(4 * depthwise_grad_shared(taps, params.lanes));
  plan.launches.push_back(launch_of("depthwise_reduce_" + dtype,
                                    {blocks_for(std::int64_t{reduce.taps} * reduce.channels), 1, 1},
                                    bytes_of(reduce),
                                    {{offsetof(DepthwiseReduceParams, partials), Buffer::workspace},
                                     {offsetof(DepthwiseReduceParams, output), Buffer::output}}));
  return plan;
}

}  // namespace

std::vector<Plan> plan_conv_depthwise_grad(const Problem& problem, const Target& target) {
  const auto g = geometry(problem);
  if (!g || problem.dtype == DType::int8 || g->groups != g->c_in || g->group_out != 1 ||
      g->c_in % depthwise_grad_width != 0) {
    return {};
  }
  const std::string dtype = simt_dtype(problem.dtype);
  if (problem.transposed) return {};
  if (problem.pass == Pass::input_gradient) return {input_gradient_plan(*g, dtype)};
  if (problem.pass != Pass::weight_gradient) return {};
  return {weight_gradient(*g, problem.dtype, dtype, target)};
}

}  // namespace alphaflops::cuda
