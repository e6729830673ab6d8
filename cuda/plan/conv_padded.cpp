// Plans of convolutions whose channels do not fill pieces of 16 bytes, such as those of an image:
// input and weights are copied with zeros behind each pixel and tap, and what follows is a matrix
// product of whole pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../kernels/conv_pad_params.cuh"
#include "conv_common.hpp"
#include "plans.hpp"

namespace alphaflops::cuda {

namespace {

using std::int64_t;

constexpr std::ptrdiff_t most_products = 3;  // of an algorithm: the best guesses
constexpr std::string_view implicit = "implicit_";

/// `rows` of `channels` from a buffer, padded to whole pieces, to the workspace.
Launch pad(DType dtype, int64_t rows, int64_t channels, Buffer from, int64_t to) {
  const int64_t row_pieces = divide_up(channels * size_of(dtype), int64_t{16});
  ConvPadParams params{};
  params.pieces = rows * row_pieces;
  params.channels = static_cast<int>(channels);
  params.by_row_pieces = make_divisor(static_cast<unsigned>(row_pieces));
  Launch launch;
  launch.symbol = "conv_pad_b" + std::to_string(size_of(dtype));
  launch.header = "conv_pad.cuh";
  launch.grid = {static_cast<unsigned>(divide_up<int64_t>(params.pieces, pad_threads)), 1, 1};
  launch.block = {pad_threads, 1, 1};
  launch.parameters = bytes_of(params);
  launch.pointers = {{offset32(offsetof(ConvPadParams, input)), from},
                     {offset32(offsetof(ConvPadParams, output)), Buffer::workspace, to}};
  return launch;
}

}  // namespace

std::vector<Plan> plan_conv_padded(const Problem& problem, const Target& target) {
  const Conv2dShape& s = problem.shape;
  const int64_t element = size_of(problem.dtype), piece = 16 / element;
  if (problem.pass != Pass::forward || s.groups != 1 || s.c_in % piece == 0 || !geometry(problem)) {
    return {};
  }
  Problem wide = problem;
  wide.shape.c_in = divide_up(s.c_in, piece) * piece;
  const int64_t pixels = s.batch * s.h_in * s.w_in, taps = s.c_out * s.k_h * s.k_w;
  // The workspace: the input, the weights, then what the product wants.
  const auto end_of = [&](int64_t begin, int64_t rows) {
    return begin + aligned(rows * wide.shape.c_in * element);
  };
  const int64_t weights = end_of(0, pixels), rest = end_of(weights, taps);
  const auto move = [&](auto& at) {  // a pointer or a tensor map
    const bool own = at.buffer == Buffer::workspace;
    if (at.buffer != Buffer::input && at.buffer != Buffer::weights && !own) return;
    at.byte_offset += at.buffer == Buffer::weights ? weights : own ? rest : 0;
    at.buffer = Buffer::workspace;
  };
  std::vector<Plan> all;
  for (Plan& found : plans(wide, target)) {
    if (!found.algorithm.starts_with(implicit)) continue;
    Plan plan;
    plan.algorithm = "padded_" + found.algorithm.substr(implicit.size());
    if (std::ranges::count(all, plan.algorithm, &Plan::algorithm) == most_products) continue;
    plan.tile = found.tile;
    plan.workspace_bytes = rest + found.workspace_bytes;
    plan.launches = {pad(problem.dtype, pixels, s.c_in, Buffer::input, 0),
                     pad(problem.dtype, taps, s.c_in, Buffer::weights, weights)};
    for (Launch& launch : found.launches) {
      for (Pointer& at : launch.pointers) move(at);
      for (TensorMap& at : launch.tensor_maps) move(at);
      plan.launches.push_back(std::move(launch));
    }
    all.push_back(std::move(plan));
  }
  return all;
}

}  // namespace alphaflops::cuda
