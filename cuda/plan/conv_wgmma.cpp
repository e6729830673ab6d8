// Plans of convolutions on the asynchronous matrix units of sm_90a: forward, and gradients of the
// input where the stride is 1.
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "conv_launches.hpp"
#include "conv_map.hpp"
#include "kernels/conv_igemm_params.cuh"

namespace alphaflops::cuda {

namespace {

using std::int64_t;

constexpr int tile_rows = 128, row_bytes = 128;
// How much faster than mma.sync these run; timing decides in the end.
constexpr double rate = 1.6;

struct Tile {
  int columns, stages;
  Access access;
  std::string access_name;
};
#define X(dtype, columns, stages, access) {columns, stages, Access::access, #access},
const std::vector<Tile> tiles{AF_CONV_WGMMA(X, any)};
#undef X

/// Whether the taps follow each other in memory, as a box of the copy engine has them.
bool has_plain_weights(const ConvProduct& product) {
  const ConvMap& map = product.map;
  const int taps_w = static_cast<int>(map.by_taps_w.divisor);
  return product.weight_offset == 0 && map.depth > 0 && map.weight_pitch == map.depth &&
         map.weight_tap_w == map.channels && map.weight_tap_h == taps_w * map.channels;
}

/// Whether row after row of the product is pixel after pixel of the source.
bool has_plain_source(const ConvProduct& product, const Conv2dShape& shape) {
  const ConvMap& map = product.map;
  return product.is_pointwise && map.step_h == 1 && map.step_w == 1 && map.origin_h == 0 &&
         map.origin_w == 0 && map.rows == shape.batch * map.source_h * map.source_w;
}

/// The weights as [column of all groups][depth].
TensorMap weights_map(const Problem& problem, const ConvMap& map, int columns) {
  const int64_t size = size_of(problem.dtype);
  TensorMap tensor;
  tensor.offset = offsetof(ConvWgmmaParams, weights_map);
  tensor.buffer = problem.pass == Pass::forward ? Buffer::weights : Buffer::workspace;
  // The units cut what they need of an fp32.
  tensor.dtype = problem.dtype == DType::tf32 ? DType::fp32 : problem.dtype;
  tensor.rank = 2;
  tensor.sizes = {static_cast<std::uint64_t>(map.depth),
                  static_cast<std::uint64_t>(map.columns * problem.shape.groups)};
  tensor.strides_bytes = {static_cast<std::uint64_t>(map.depth * size)};
  tensor.box = {static_cast<std::uint32_t>(row_bytes / size), static_cast<std::uint32_t>(columns)};
  tensor.swizzle = Swizzle::bytes_128;
  return tensor;
}

/// The source as [row][group][channel].
TensorMap source_map(const Problem& problem, const ConvMap& map) {
  const int64_t size = size_of(problem.dtype);
  TensorMap tensor = weights_map(problem, map, 1);
  tensor.offset = offsetof(ConvWgmmaParams, source_map);
  tensor.buffer = problem.pass == Pass::forward ? Buffer::input : Buffer::output_gradient;
  tensor.rank = 3;
  tensor.sizes = {static_cast<std::uint64_t>(map.channels),
                  static_cast<std::uint64_t>(problem.shape.groups),
                  static_cast<std::uint64_t>(map.rows)};
  tensor.strides_bytes = {static_cast<std::uint64_t>(map.channels * size),
                          static_cast<std::uint64_t>(map.source_pitch * size)};
  tensor.box = {static_cast<std::uint32_t>(row_bytes / size), 1, tile_rows};
  return tensor;
}

/// The launch of ConvIgemmParams as one of ConvWgmmaParams.
void add_maps(Launch& launch, const Problem& problem, const ConvMap& map, const Tile& tile) {
  ConvWgmmaParams params{};
  std::memcpy(&params.product, launch.parameters.data(), sizeof(params.product));
  launch.parameters = bytes_of(params);
  for (Pointer& pointer : launch.pointers) {
    pointer.offset += static_cast<std::uint32_t>(offsetof(ConvWgmmaParams, product));
  }
  launch.tensor_maps = {weights_map(problem, map, tile.columns)};
  if (tile.access == Access::pointwise) launch.tensor_maps.push_back(source_map(problem, map));
}

}  // namespace

std::vector<Plan> plan_conv_wgmma(const Problem& problem, const Target& target) {
  if (target.arch != 90 || !target.has_a_features || problem.dtype == DType::fp32) return {};
  const std::vector<ConvProduct> products = conv_products(problem);
  if (products.size() != 1 || !has_plain_weights(products[0])) return {};
  const ConvMap& map = products[0].map;
  if (map.channels * size_of(problem.dtype) % 16 != 0) return {};
  const Access access =
      has_plain_source(products[0], problem.shape) ? Access::pointwise : Access::vector;
  const std::string dtype(to_string(problem.dtype));
  std::vector<Guess> guesses;
  for (const Tile& tile : tiles) {
    if (tile.access != access) continue;
    const ProductTile size{tile_rows, tile.columns,
                           static_cast<int>(row_bytes / size_of(problem.dtype)), 384};
    const std::string name = "128x" + std::to_string(tile.columns) + "_s" +
                             std::to_string(tile.stages) + "_" + tile.access_name;
    Launch launch;
    launch.symbol = "conv_wgmma_" + dtype + "_" + name;
    launch.header = "conv_wgmma_" + dtype + ".cuh";
    launch.min_arch = 90;
    launch.exact_arch = true;
    launch.block = {384, 1, 1};
    launch.shared_bytes = static_cast<unsigned>(
        tile.stages * ((tile_rows + tile.columns) * row_bytes + 16));  // and two barriers
    std::vector<Guess> here;
    append_guesses(here, problem, target, products, size, rate, launch, name);
    for (Guess& guess : here) {
      for (Launch& step : guess.plan.launches) {
        if (step.symbol == launch.symbol) add_maps(step, problem, map, tile);
      }
      guesses.push_back(std::move(guess));
    }
  }
  return in_order(std::move(guesses), "implicit_gemm_wgmma");
}

}  // namespace alphaflops::cuda
