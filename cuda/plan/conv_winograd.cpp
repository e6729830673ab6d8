// Plans of Winograd's F(4x4, 3x3): three transforms about a 1x1 convolution of 36 groups, which any
// of the fp32 plans does.
#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/conv_winograd_params.cuh"
#include "conv_common.hpp"
#include "plans.hpp"

namespace alphaflops::cuda {

namespace {

/// The plans of the products; the slow one that does any shape only where there is no other.
std::vector<Plan> winograd_products(const ConvGeometry& g, std::int64_t tiles,
                                    const Target& target) {
  Problem problem;
  problem.shape.batch = tiles;
  problem.shape.c_in = std::int64_t{winograd_points} * g.c_in;
  problem.shape.c_out = std::int64_t{winograd_points} * g.c_out;
  problem.shape.groups = winograd_points;
  std::vector<Plan> found = plans(problem, target);
  const auto slow = [](const Plan& plan) { return plan.algorithm == "general"; };
  if (!std::ranges::all_of(found, slow)) std::erase_if(found, slow);
  return found;
}

Launch transform(std::string symbol, std::int64_t items, std::vector<std::byte> parameters,
                 std::vector<Pointer> pointers) {
  Launch launch;
  launch.symbol = std::move(symbol);
  launch.header = "conv_winograd.cuh";
  launch.grid = {static_cast<unsigned>(divide_up<std::int64_t>(items, winograd_threads)), 1, 1};
  launch.block = {winograd_threads, 1, 1};
  launch.parameters = std::move(parameters);
  launch.pointers = std::move(pointers);
  return launch;
}

}  // namespace

std::vector<Plan> plan_conv_winograd(const Problem& problem, const Target& target) {
  const auto found = geometry(problem);
  if (!found || problem.pass != Pass::forward || problem.dtype != DType::fp32 ||
      found->groups != 1 || found->k_h != 3 || found->k_w != 3 || found->stride_h != 1 ||
      found->stride_w != 1 || found->dilation_h != 1 || found->dilation_w != 1) {
    return {};
  }
  const ConvGeometry& g = *found;
  const PixelTile tile = make_tile(g, winograd_outputs, winograd_outputs);
  const std::int64_t tiles = std::int64_t{tile.across} * tile.down * g.batch;
  const std::int64_t c_in = g.c_in, c_out = g.c_out;

  // The workspace: weights, input and output as transformed, then what the products want.
  std::array<std::int64_t, 4> begin{};
  const std::array<std::int64_t, 3> elements{c_out * c_in, tiles * c_in, tiles * c_out};
  for (std::size_t i = 0; i < elements.size(); ++i) {
    begin[i + 1] = begin[i] + aligned(elements[i] * winograd_points * 4);
  }

  WinogradWeightsParams weights{};
  weights.items = elements[0];
  weights.c_in = g.c_in, weights.c_out = g.c_out;
  weights.by_c_in = make_divisor(static_cast<unsigned>(g.c_in));
  WinogradInputParams input{};
  input.items = elements[1];
  input.conv = g, input.tile = tile;
  input.by_c_in = weights.by_c_in;
  WinogradOutputParams output{};
  output.items = elements[2];
  output.conv = g, output.tile = tile;
  output.by_c_out = make_divisor(static_cast<unsigned>(g.c_out));

  const Launch weights_launch =
      transform("winograd_weights_fp32", weights.items, bytes_of(weights),
                {{offsetof(WinogradWeightsParams, weights), Buffer::weights},
                 {offsetof(WinogradWeightsParams, output), Buffer::workspace, begin[0]}});
  const Launch input_launch =
      transform("winograd_input_fp32", input.items, bytes_of(input),
                {{offsetof(WinogradInputParams, input), Buffer::input},
                 {offsetof(WinogradInputParams, output), Buffer::workspace, begin[1]}});
  Launch output_launch =
      transform("winograd_output_fp32", output.items, bytes_of(output),
                {{offsetof(WinogradOutputParams, input), Buffer::workspace, begin[2]},
                 {offsetof(WinogradOutputParams, output), Buffer::output}});
  if (problem.bias) {
    output_launch.pointers.push_back({offsetof(WinogradOutputParams, bias), Buffer::bias});
  }

  std::vector<Plan> all;
  for (Plan& product : winograd_products(g, tiles, target)) {
    Plan plan;
    plan.algorithm = "winograd4";
    plan.tile = product.algorithm + "_" + product.tile;
    plan.workspace_bytes = begin[3] + product.workspace_bytes;
    plan.launches = {weights_launch, input_launch};
    for (Launch& launch : product.launches) {
      for (Pointer& pointer : launch.pointers) {
        const std::int64_t at = pointer.buffer == Buffer::weights  ? begin[0]
                                : pointer.buffer == Buffer::input  ? begin[1]
                                : pointer.buffer == Buffer::output ? begin[2]
                                                                   : begin[3];
        pointer = {pointer.offset, Buffer::workspace, at + pointer.byte_offset};
      }
      plan.launches.push_back(std::move(launch));
    }
    plan.launches.push_back(output_launch);
    all.push_back(std::move(plan));
  }
  return all;
}

}  // namespace alphaflops::cuda
