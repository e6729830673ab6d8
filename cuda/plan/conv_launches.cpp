#include "conv_launches.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "kernels/conv_igemm_params.cuh"
#include "kernels/conv_turn_weights_params.cuh"

namespace alphaflops::cuda {

namespace {

using std::int64_t;

constexpr int64_t most_splits = 32;

int64_t output_bytes(DType dtype) { return dtype == DType::int8 ? 4 : size_of(dtype); }

int activation_code(Activation activation) {
  return activation == Activation::relu    ? activation_relu
         : activation == Activation::relu6 ? activation_relu6
                                           : activation_none;
}

int64_t count_tiles(const ConvMap& map, const ProductTile& tile) {
  return map.phase_count * divide_up<int64_t>(map.rows, tile.rows) *
         divide_up<int64_t>(map.columns, tile.columns);
}

int64_t sums_of(const ConvMap& map) {
  return int64_t{map.phase_count} * map.rows * map.result_pitch;
}

int64_t mean_depth(const ConvMap& map) {
  int64_t sum = 0;
  for (int i = 0; i < map.phase_count; ++i) sum += map.phases[i].depth;
  return divide_up<int64_t>(sum, map.phase_count);
}

/// The weights with the channels of the result before the taps, at the start of the workspace.
Launch turn_weights(const Problem& problem) {
  const Conv2dShape& s = problem.shape;
  const int64_t c_in = s.c_in / s.groups, c_out = s.c_out / s.groups, taps = s.k_h * s.k_w;
  ConvTurnWeightsParams params{};
  params.c_in = static_cast<int>(c_in);
  params.c_out = static_cast<int>(c_out);
  params.taps = static_cast<int>(taps);
  Launch launch;
  launch.symbol = size_of(problem.dtype) == 2 ? "conv_turn_weights_16" : "conv_turn_weights_32";
  launch.header = "conv_turn_weights.cuh";
  launch.grid = {unsigned_of(divide_up<int64_t>(c_in, turn_tile)),
                 unsigned_of(divide_up<int64_t>(c_out, turn_tile)), unsigned_of(s.groups * taps)};
  launch.block = {turn_tile, turn_rows, 1};
  launch.shared_bytes = unsigned_of(turn_tile * (turn_tile + 1) * size_of(problem.dtype));
  launch.parameters = bytes_of(params);
  launch.pointers = {{offsetof(ConvTurnWeightsParams, input), Buffer::weights, 0},
                     {offsetof(ConvTurnWeightsParams, output), Buffer::workspace, 0}};
  return launch;
}

/// Tiles of the depth, of the phase that has most.
int64_t depth_tiles_of(const ConvMap& map, const ProductTile& tile) {
  return divide_up<int64_t>(map.phases[0].depth, tile.depth);
}

/// One product; the parts of its split depth go to `partials` in the workspace.
Launch product_launch(const Problem& problem, const ConvProduct& product, const ProductTile& tile,
                      Launch launch, int64_t splits, int64_t partials) {
  const ConvMap& map = product.map;
  const bool partial = splits > 1;
  const int64_t column_tiles = divide_up<int64_t>(map.columns, tile.columns);
  ConvIgemmParams params{};
  params.map = map;
  // A kernel of one phase does not look where its weights begin.
  const int64_t first_weight =
      map.phase_count > 1 ? 0 : std::exchange(params.map.phases[0].weight, 0);
  params.by_column_tiles = make_divisor(unsigned_of(column_tiles));
  params.by_row_tiles = make_divisor(unsigned_of(divide_up<int64_t>(map.rows, tile.rows)));
  params.depth_tiles_a_split = static_cast<int>(divide_up(depth_tiles_of(map, tile), splits));
  params.activation = activation_code(problem.activation);
  params.is_partial = partial ? 1 : 0;
  params.partial_stride = sums_of(map);
  params.stores_vectors = map.columns % (16 / output_bytes(problem.dtype)) == 0 ? 1 : 0;
  launch.grid = {unsigned_of(count_tiles(map, tile)), unsigned_of(problem.shape.groups),
                 unsigned_of(splits)};
  launch.parameters = bytes_of(params);
  launch.pointers = {
      {offsetof(ConvIgemmParams, input), source_of(problem), 0},
      {offsetof(ConvIgemmParams, weights), weights_of(problem),
       first_weight * size_of(problem.dtype)},
      {offsetof(ConvIgemmParams, output), partial ? Buffer::workspace : Buffer::output, partials}};
  if (problem.bias && !partial) {
    launch.pointers.push_back({offsetof(ConvIgemmParams, bias), Buffer::bias, 0});
  }
  return launch;
}

Plan plan_of(const Problem& problem, const std::vector<ConvProduct>& products,
             const ProductTile& tile, const Launch& kernel, int64_t splits) {
  const Conv2dShape& s = problem.shape;
  Plan plan;
  int64_t start = 0;
  if (!is_layer(problem)) {
    plan.launches.push_back(turn_weights(problem));
    start = aligned(s.c_out * s.k_h * s.k_w * (s.c_in / s.groups) * size_of(problem.dtype));
  }
  int64_t end = start;
  for (const ConvProduct& product : products) {
    const ConvMap& map = product.map;
    if (map.rows == 0) continue;
    const int64_t depth_tiles = depth_tiles_of(map, tile);
    // As many parts as have something to add, all but the last of one size.
    const int64_t a_split = divide_up(std::max<int64_t>(depth_tiles, 1), splits);
    const int64_t parts = std::max<int64_t>(divide_up(depth_tiles, a_split), 1);
    plan.launches.push_back(
        product_launch(problem, product, tile, kernel, parts, parts > 1 ? start : 0));
    if (parts > 1) {
      plan.launches.push_back(reduce_launch(problem, map, start, parts));
      end = std::max(end, start + aligned(parts * sums_of(map) * 4));
    }
  }
  plan.workspace_bytes = end;
  return plan;
}

double cost_of(const Problem& problem, const Target& target,
               const std::vector<ConvProduct>& products, const ProductTile& tile, int64_t splits) {
  double cost = 0.0;
  for (const ConvProduct& product : products) {
    cost += product_cost(target, tile, count_tiles(product.map, tile) * problem.shape.groups,
                         mean_depth(product.map), splits, sums_of(product.map));
  }
  return cost;
}

}  // namespace

Launch reduce_launch(const Problem& problem, const ConvMap& map, int64_t partials, int64_t splits) {
  ConvReduceParams params{};
  params.map = map;
  params.by_channels_out = make_divisor(static_cast<unsigned>(map.result_pitch));
  params.by_rows = make_divisor(static_cast<unsigned>(map.rows));
  params.splits = static_cast<int>(splits);
  params.activation = activation_code(problem.activation);
  Launch launch;
  const DType dtype = problem.dtype == DType::tf32 ? DType::fp32 : problem.dtype;
  launch.symbol = "conv_reduce_" + std::string(to_string(dtype));
  launch.header = "conv_reduce.cuh";
  launch.grid = {unsigned_of(divide_up<int64_t>(sums_of(map), 256)), 1, 1};
  launch.block = {256, 1, 1};
  launch.parameters = bytes_of(params);
  launch.pointers = {{offsetof(ConvReduceParams, partials), Buffer::workspace, partials},
                     {offsetof(ConvReduceParams, output), Buffer::output, 0}};
  if (problem.bias) {
    launch.pointers.push_back({offsetof(ConvReduceParams, bias), Buffer::bias, 0});
  }
  return launch;
}

double product_cost(const Target& target, const ProductTile& tile, int64_t tiles, int64_t depth,
                    int64_t splits, int64_t outputs) {
  const double sharing = std::max(1.0, 256.0 / tile.threads);  // blocks of a multiprocessor
  const double rounds =
      std::ceil(static_cast<double>(tiles * splits) / (target.sm_count * sharing));
  const double area = static_cast<double>(tile.rows) * tile.columns;
  const double efficiency = area / (area + 24.0 * (tile.rows + tile.columns));
  const double steps = static_cast<double>(depth) / static_cast<double>(splits) + 64.0;
  const double adding = splits == 1 ? 0.0
                                    : 2e4 + 4.0 * static_cast<double>(splits) *
                                                static_cast<double>(outputs) / target.sm_count;
  return rounds * area * steps / efficiency * sharing + adding;
}

void append_guesses(std::vector<Guess>& guesses, const Problem& asked, const Target& target,
                    const std::vector<ConvProduct>& products, const ProductTile& tile, double rate,
                    const Launch& kernel, const std::string& tile_name) {
  Problem problem = asked;
  if (!is_layer(problem)) {  // gradients have no epilogue
    problem.bias = false;
    problem.activation = Activation::none;
  }
  int64_t tiles = 0, depth_tiles = 0;
  for (const ConvProduct& product : products) {
    tiles = std::max(tiles, count_tiles(product.map, tile) * problem.shape.groups);
    depth_tiles = std::max(depth_tiles, depth_tiles_of(product.map, tile));
  }
  const Conv2dShape& s = problem.shape;
  if (tiles > (int64_t{1} << 30) || s.groups > most_blocks_y ||
      (problem.pass == Pass::input_gradient && s.groups * s.k_h * s.k_w > most_blocks_y)) {
    return;
  }
  // Parts that fill the device once, and those that leave no part of it idle.
  std::vector<int64_t> splits{1};
  const int64_t room = std::max<int64_t>(tiles, 1);
  const int64_t most = std::min(depth_tiles / least_depth_tiles_a_split, most_splits);
  for (const int64_t wanted : {target.sm_count / room, divide_up<int64_t>(target.sm_count, room)}) {
    if (std::min(wanted, most) > splits.back()) splits.push_back(std::min(wanted, most));
  }
  for (const int64_t count : splits) {
    Guess guess{cost_of(problem, target, products, tile, count) / rate,
                plan_of(problem, products, tile, kernel, count)};
    guess.plan.tile = tile_name + (count > 1 ? "_split" + std::to_string(count) : "");
    guesses.push_back(std::move(guess));
  }
}

std::vector<Plan> in_order(std::vector<Guess> guesses, const std::string& algorithm) {
  std::ranges::stable_sort(guesses, {}, &Guess::cost);
  std::vector<Plan> plans;
  for (Guess& guess : guesses) {
    guess.plan.algorithm = algorithm;
    plans.push_back(std::move(guess.plan));
  }
  return plans;
}

}  // namespace alphaflops::cuda
