// Plans of gradients of weights as matrix products whose depth, the pixels, is split over blocks.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "conv_launches.hpp"
#include "conv_map.hpp"
#include "kernels/conv_igemm_params.cuh"

namespace alphaflops::cuda {

namespace {

using std::int64_t;

constexpr int64_t most_wgrad_splits = 256;
constexpr int64_t most_partial_bytes = int64_t{1} << 28;

struct WgradTile {
  ProductTile size;
  int stages, pad;  // bytes behind each row of shared memory
  Access access;
  std::string access_name;
};

#define X(dtype, rows, columns, depth, warps_m, warps_n, stages, access) \
  {{rows, columns, depth, warps_m * warps_n * 32}, stages, pad, Access::access, #access},
#define X_FP32(rows, columns, depth, access) \
  {{rows, columns, depth, rows * columns / 64}, 2, pad, Access::access, #access},
std::vector<WgradTile> wgrad_tiles(DType dtype) {
  const int pad = dtype == DType::fp32 ? 0 : dtype == DType::tf32 ? 32 : 16;
  switch (dtype) {
    case DType::fp16: return {AF_CONV_WGRAD_FP16(X) AF_CONV_WGRAD_FP16_SM75(X)};
    case DType::bf16: return {AF_CONV_WGRAD_BF16(X)};
    case DType::tf32: return {AF_CONV_WGRAD_TF32(X)};
    case DType::fp32: return {AF_CONV_WGRAD_FP32(X_FP32)};
    case DType::int8: return {};
  }
  return {};
}
#undef X
#undef X_FP32

/// Rows are output channels of a group, columns (tap_h, tap_w, channel), the depth pixels.
ConvMap gradient_map(const ConvMap& forward) {
  ConvMap map{};
  map.rows = forward.columns;
  map.columns = forward.phases[0].depth;
  map.phase_count = 1;
  map.phases[0].depth = forward.rows;
  map.by_image = map.by_width = make_divisor(1);  // a row of the result is one of these
  map.result_h = map.result_w = 1;
  map.result_pitch = map.columns;
  map.result_group = map.rows * map.columns;
  return map;
}

std::string header_of(DType dtype) {
  return dtype == DType::fp32   ? "conv_wgrad_fp32.cuh"
         : dtype == DType::tf32 ? "conv_wgrad_tf32.cuh"
                                : "conv_wgrad_half.cuh";
}

Guess guess_of(const Problem& problem, const Target& target, const ConvMap& forward,
               const WgradTile& tile, const std::string& name, int64_t splits) {
  const int64_t groups = problem.shape.groups;
  ConvWgradParams params{};
  params.source = forward;
  ConvIgemmParams& product = params.product;
  product.map = gradient_map(forward);
  const ConvMap& map = product.map;
  const int64_t column_tiles = divide_up<int64_t>(map.columns, tile.size.columns);
  const int64_t tiles = divide_up<int64_t>(map.rows, tile.size.rows) * column_tiles;
  const int64_t depth_tiles = divide_up<int64_t>(map.phases[0].depth, tile.size.depth);
  const int64_t a_split = divide_up(depth_tiles, splits);
  const int64_t parts = divide_up(depth_tiles, a_split);
  const int64_t outputs = groups * map.result_group;
  const int output_width = static_cast<int>(16 / size_of(problem.dtype));
  product.by_column_tiles = make_divisor(static_cast<unsigned>(column_tiles));
  product.depth_tiles_a_split = static_cast<int>(a_split);
  product.is_partial = parts > 1 ? 1 : 0;
  product.partial_stride = outputs;
  product.stores_vectors = map.columns % output_width == 0 ? 1 : 0;

  Launch launch;
  launch.symbol = "conv_wgrad_" + std::string(to_string(problem.dtype)) + "_" + name;
  launch.header = header_of(problem.dtype);
  const bool fp16_staged = problem.dtype == DType::fp16 && tile.stages == 2;
  launch.min_arch = problem.dtype == DType::fp32 || fp16_staged ? 75 : 80;
  launch.grid = {static_cast<unsigned>(tiles), static_cast<unsigned>(groups),
                 static_cast<unsigned>(parts)};
  launch.block = {static_cast<unsigned>(tile.size.threads), 1, 1};
  launch.shared_bytes = static_cast<unsigned>(
      tile.stages * tile.size.depth *
      ((tile.size.rows + tile.size.columns) * size_of(problem.dtype) + 2 * tile.pad));
  launch.parameters = bytes_of(params);
  constexpr std::size_t at = offsetof(ConvWgradParams, product);
  launch.pointers = {
      {static_cast<std::uint32_t>(at + offsetof(ConvIgemmParams, input)), Buffer::input, 0},
      {static_cast<std::uint32_t>(at + offsetof(ConvIgemmParams, weights)), Buffer::output_gradient,
       0},
      {static_cast<std::uint32_t>(at + offsetof(ConvIgemmParams, output)),
       parts > 1 ? Buffer::workspace : Buffer::output, 0}};
  Guess guess;
  guess.cost =
      product_cost(target, tile.size, tiles * groups, map.phases[0].depth, parts, outputs) *
      (tile.stages == 2 && problem.dtype != DType::fp32 ? 1.6 : 1.0);
  guess.plan.launches = {launch};
  guess.plan.tile = name + (parts > 1 ? "_split" + std::to_string(parts) : "");
  if (parts > 1) {
    ConvMap sums = map;
    sums.rows = static_cast<int>(groups * map.rows);
    guess.plan.launches.push_back(reduce_launch(problem, sums, 0, parts));
    guess.plan.workspace_bytes = parts * outputs * 4;
  }
  return guess;
}

}  // namespace

std::vector<Plan> plan_conv_wgrad(const Problem& problem, const Target& target) {
  const Conv2dShape& s = problem.shape;
  const auto forward = forward_product(s);
  if (problem.pass != Pass::weight_gradient || !forward || s.groups > most_blocks_y) return {};
  const int64_t piece = 16 / size_of(problem.dtype);
  const bool fills_pieces = s.c_in / s.groups % piece == 0 && s.c_out / s.groups % piece == 0;
  Problem bare = problem;  // a gradient has no epilogue
  bare.bias = false;
  bare.activation = Activation::none;
  std::vector<Guess> guesses;
  for (const WgradTile& tile : wgrad_tiles(problem.dtype)) {
    if ((tile.access == Access::vector) != fills_pieces) continue;
    std::string name = std::to_string(tile.size.rows) + "x" + std::to_string(tile.size.columns) +
                       "x" + std::to_string(tile.size.depth);
    if (problem.dtype != DType::fp32) name += "_s" + std::to_string(tile.stages);
    name += "_" + tile.access_name;
    const ConvMap map = gradient_map(forward->map);
    const int64_t tiles = s.groups * divide_up<int64_t>(map.rows, tile.size.rows) *
                          divide_up<int64_t>(map.columns, tile.size.columns);
    const int64_t most = std::min(
        {divide_up<int64_t>(map.phases[0].depth, tile.size.depth) / least_depth_tiles_a_split,
         most_wgrad_splits, most_partial_bytes / (4 * s.groups * map.result_group)});
    // As many blocks as one round takes, and as two do.
    int64_t last = 0;
    for (const int64_t blocks :
         {int64_t{1}, int64_t{target.sm_count}, int64_t{2} * target.sm_count}) {
      const int64_t splits =
          std::clamp<int64_t>(divide_up(blocks, tiles), 1, std::max<int64_t>(most, 1));
      if (splits == last) continue;
      last = splits;
      Guess guess = guess_of(bare, target, forward->map, tile, name, splits);
      // Unlike numbers of blocks may come to the same parts.
      if (!guesses.empty() && guesses.back().plan.tile == guess.plan.tile) continue;
      guesses.push_back(std::move(guess));
    }
  }
  return in_order(std::move(guesses), "implicit_gemm");
}

}  // namespace alphaflops::cuda
