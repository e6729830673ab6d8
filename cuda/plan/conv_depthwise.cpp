// Plans of depthwise convolutions with a square window of 3, 5 or 7 and stride 1 or 2; others are
// conv_general's. The gradient of the input at stride 1 is the same convolution of the output's
// gradient, with the taps in reverse.
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/conv_depthwise_params.cuh"
#include "alphaflops/dtype.hpp"
#include "conv_common.hpp"

namespace alphaflops::cuda {

namespace {

struct DepthwiseTile {
  int kernel, stride, columns, blocks;
};
#define X(kernel, stride, columns, blocks) {kernel, stride, columns, blocks},
constexpr DepthwiseTile depthwise_tiles[] = {AF_CONV_DEPTHWISE_TILES(X)};
#undef X

// Rows that a thread goes down, about: each input row above the first costs no more than itself,
// but few threads leave multiprocessors idle.
constexpr int heights[] = {14, 7, 4, 2};
constexpr std::int64_t filling_threads = 1024;  // of a multiprocessor, where a height comes first

/// Lanes as powers of two that read a line, or fewer where an eighth of them would have no channel.
int lane_bits(int packs, int most) {
  int bits = 0;
  while (2 << bits <= most && 1 << bits < packs) ++bits;
  while (bits > 2 && divide_up(packs, 1 << bits) * (8 << bits) > 9 * packs) --bits;
  return bits;
}

/// The convolution that gives the gradient of the input.
ConvGeometry reversed(ConvGeometry g) {
  std::swap(g.h_in, g.h_out);
  std::swap(g.w_in, g.w_out);
  g.pad_top = g.k_h - 1 - g.pad_top;
  g.pad_left = g.k_w - 1 - g.pad_left;
  return g;
}

}  // namespace

std::vector<Plan> plan_conv_depthwise(const Problem& problem, const Target& target) {
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
  ConvDepthwiseParams params{};
  params.conv = *g;
  params.flipped = gradient ? 1 : 0;
  const int line = line_bytes / (width * static_cast<int>(size_of(problem.dtype)));
  params.lane_bits = lane_bits(g->c_in / width, line);
  const int lanes = 1 << params.lane_bits, across = divide_up(g->c_in, lanes * width);
  params.by_channel = make_divisor(static_cast<unsigned>(across));
  std::vector<Plan> filling, others;
  for (const DepthwiseTile& tile : depthwise_tiles) {
    if (g->k_h != tile.kernel || g->k_w != tile.kernel || g->stride_h != tile.stride ||
        g->stride_w != tile.stride) {
      continue;
    }
    int before = 0;
    for (const int height : heights) {
      const int rows =
          divide_up(g->h_out, divide_up(g->h_out, height));  // parts as high as another
      if (rows == before) continue;
      before = rows;
      params.tile = make_tile(*g, rows, tile.columns);
      params.tiles = params.tile.across * params.tile.down * g->batch;
      const std::int64_t blocks =
          std::int64_t{divide_up(params.tiles, depthwise_threads / lanes)} * across;
      if (blocks > std::numeric_limits<int>::max()) continue;
      const std::string name = std::to_string(rows) + "x" + std::to_string(tile.columns);
      Launch launch =
          conv_launch(problem,
                      "conv_depthwise_" + simt_dtype(problem.dtype) + "_k" +
                          std::to_string(tile.kernel) + "s" + std::to_string(tile.stride) + "_" +
                          std::to_string(tile.columns) + "x" + std::to_string(tile.blocks),
                      "conv_depthwise.cuh", params);
      if (gradient) launch.pointers[0].buffer = Buffer::output_gradient;
      launch.grid = {static_cast<unsigned>(blocks), 1, 1};
      launch.block = {depthwise_threads, 1, 1};
      launch.shared_bytes =
          static_cast<unsigned>((tile.kernel * tile.kernel + 1) * lanes * width) * sizeof(float);
      const bool fills = blocks * depthwise_threads >= target.sm_count * filling_threads;
      (fills ? filling : others).push_back(one_launch(launch, "depthwise", name));
    }
  }
  // Of those that leave multiprocessors idle, the one with most threads first.
  filling.insert(filling.end(), others.rbegin(), others.rend());
  return filling;
}

}  // namespace alphaflops::cuda
