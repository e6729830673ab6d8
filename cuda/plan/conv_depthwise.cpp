// Plans of depthwise convolutions with a square window of 3, 5 or 7 and stride 1 or 2; others are
// conv_general's. The gradient of the input at stride 1 is the same convolution of the output's
// gradient, with the taps in reverse.
#include <string>
#include <utility>
#include <vector>

#include "../kernels/conv_depthwise_params.cuh"
#include "alphaflops/dtype.hpp"
#include "conv_common.hpp"

namespace alphaflops::cuda {

namespace {

struct Tile {
  int kernel, stride, rows, columns;
};
#define X(kernel, stride, rows, columns) {kernel, stride, rows, columns},
constexpr Tile tiles[] = {AF_CONV_DEPTHWISE_TILES(X)};
#undef X

constexpr int line_bytes = 128;  // of channels that a block's lanes read side by side

/// The convolution that gives the gradient of the input.
ConvGeometry reversed(ConvGeometry g) {
  std::swap(g.h_in, g.h_out);
  std::swap(g.w_in, g.w_out);
  g.pad_top = g.k_h - 1 - g.pad_top;
  g.pad_left = g.k_w - 1 - g.pad_left;
  return g;
}

}  // namespace

std::vector<Plan> plan_conv_depthwise(const Problem& problem, const Target&) {
  auto g = geometry(problem);
  const bool gradient = problem.pass == Pass::input_gradient;
  if (!g || problem.transposed || !(gradient || problem.pass == Pass::forward) ||
      problem.dtype == DType::int8 || g->groups != g->c_in || g->group_out != 1 ||
      g->dilation_h != 1 || g->dilation_w != 1) {
    return {};
  }
  constexpr int width = depthwise_width;
  if (g->c_in % width != 0) return {};
  if (gradient) {
    if (g->stride_h != 1 || g->stride_w != 1) return {};
    g = reversed(*g);
  }
  const int most_lanes = line_bytes / (width * static_cast<int>(size_of(problem.dtype)));
  int lanes = 1;
  while (lanes < most_lanes && lanes * width < g->c_in) lanes *= 2;
  std::vector<Plan> plans;
  for (const Tile& tile : tiles) {
    if (g->k_h != tile.kernel || g->k_w != tile.kernel || g->stride_h != tile.stride ||
        g->stride_w != tile.stride) {
      continue;
    }
    ConvDepthwiseParams params{};
    params.conv = *g;
    params.tile = make_tile(*g, tile.rows, tile.columns);
    params.tiles = params.tile.across * params.tile.down * g->batch;
    params.lanes = lanes;
    params.flipped = gradient ? 1 : 0;
    const std::string name = std::to_string(tile.rows) + "x" + std::to_string(tile.columns);
    Launch launch = conv_launch(problem,
                                "conv_depthwise_" + simt_dtype(problem.dtype) + "_k" +
                                    std::to_string(tile.kernel) + "s" +
                                    std::to_string(tile.stride) + "_" + name,
                                "conv_depthwise.cuh", params);
    if (gradient) launch.pointers[0].buffer = Buffer::output_gradient;
    launch.grid = {static_cast<unsigned>(divide_up(params.tiles, depthwise_threads / lanes)),
                   static_cast<unsigned>(divide_up(g->c_in, lanes * width)), 1};
    launch.block = {depthwise_threads, 1, 1};
    launch.shared_bytes =
        static_cast<unsigned>(tile.kernel * tile.kernel * lanes * width) * sizeof(float);
    plans.push_back(one_launch(launch, "depthwise", name));
  }
  return plans;
}

}  // namespace alphaflops::cuda
