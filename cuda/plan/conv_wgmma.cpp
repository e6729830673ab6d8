// Plans of convolutions on the asynchronous matrix units of sm_90a: forward, and gradients of the
// input where the stride is 1.
#include <algorithm>
#include <cmath>
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

// Columns of tiles that are made at a time: as many as rows where 132 multiprocessors have tiles of
// 128 x 256.
constexpr int widest_swath = 2048;

struct WgmmaTile {
  int columns, stages, cluster, blocks;
  Access access;
  std::string access_name;

  std::string name() const {
    const auto part = [](const char* what, int count) { return what + std::to_string(count); };
    return part("128x", columns) + part("_s", stages) + part("_c", cluster) + part("_b", blocks) +
           "_" + access_name;
  }
};
#define X(dtype, columns, stages, cluster, blocks, access) \
  {columns, stages, cluster, blocks, Access::access, #access},
const std::vector<WgmmaTile> wgmma_tiles{AF_CONV_WGMMA(X, any)};
#undef X

/// Whether the taps follow each other in memory, as a box of the copy engine has them.
bool has_plain_weights(const ConvProduct& product) {
  const ConvMap& map = product.map;
  const ConvPhase& phase = map.phases[0];
  const int taps_w = static_cast<int>(phase.by_taps_w.divisor);
  return map.phase_count == 1 && phase.weight == 0 && phase.depth > 0 &&
         map.weight_pitch == phase.depth && map.weight_tap_w == map.channels &&
         map.weight_tap_h == taps_w * map.channels;
}

/// Whether row after row of the product is pixel after pixel of the source.
bool has_plain_source(const ConvProduct& product, const Conv2dShape& shape) {
  const ConvMap& map = product.map;
  return product.is_pointwise && map.step_h == 1 && map.step_w == 1 &&
         map.phases[0].origin_h == 0 && map.phases[0].origin_w == 0 &&
         map.rows == shape.batch * map.source_h * map.source_w;
}

TensorMap map_of(std::size_t offset, Buffer buffer, DType dtype, std::uint32_t rank) {
  TensorMap tensor;
  tensor.offset = static_cast<std::uint32_t>(offset);
  tensor.buffer = buffer;
  tensor.dtype = dtype;
  tensor.rank = rank;
  tensor.swizzle = Swizzle::bytes_128;
  return tensor;
}

std::uint64_t wide(int64_t size) { return static_cast<std::uint64_t>(size); }
/// The weights as [column of all groups][depth]. Of tf32 the copy engine makes what the units read,
/// rounded.
TensorMap weights_map(const Problem& problem, const ConvMap& map, int columns) {
  const int64_t size = size_of(problem.dtype);
  TensorMap tensor =
      map_of(offsetof(ConvWgmmaParams, weights_map), weights_of(problem), problem.dtype, 2);
  tensor.sizes = {wide(map.phases[0].depth), wide(map.columns * problem.shape.groups)};
  tensor.strides_bytes = {wide(map.phases[0].depth * size)};
  tensor.box = {unsigned_of(wgmma_row_bytes / size), unsigned_of(columns)};
  return tensor;
}

/// The source as [row][group][channel].
TensorMap source_map(const Problem& problem, const ConvMap& map) {
  const int64_t size = size_of(problem.dtype);
  TensorMap tensor =
      map_of(offsetof(ConvWgmmaParams, source_map), source_of(problem), problem.dtype, 3);
  tensor.sizes = {wide(map.channels), wide(problem.shape.groups), wide(map.rows)};
  tensor.strides_bytes = {wide(map.channels * size), wide(map.source_pitch * size)};
  tensor.box = {unsigned_of(wgmma_row_bytes / size), 1, wgmma_rows};
  return tensor;
}

/// The output, or the parts of a split depth, as [split][row][group][column], from where `product`
/// has its pointer.
TensorMap output_map(const Problem& problem, const ConvIgemmParams& product, const Pointer& to,
                     int64_t splits) {
  const ConvMap& map = product.map;
  const bool wide_elements = product.is_partial != 0 || size_of(problem.dtype) != 2;
  const DType dtype = wide_elements ? DType::fp32 : problem.dtype;  // bits, int32 too
  const int64_t size = size_of(dtype), row = map.result_pitch * size;
  TensorMap tensor = map_of(offsetof(ConvWgmmaParams, output_map), to.buffer, dtype, 4);
  tensor.byte_offset = to.byte_offset;
  tensor.sizes = {wide(map.columns), wide(problem.shape.groups), wide(map.rows), wide(splits)};
  tensor.strides_bytes = {wide(map.result_group * size), wide(row), wide(map.rows * row)};
  tensor.box = {unsigned_of(128 / size), 1, wgmma_rows / 2, 1};
  return tensor;
}

/// Units along the rows and column tiles of a product.
struct Extent {
  int64_t rows, columns;
};
Extent extent_of(const ConvMap& map, const WgmmaTile& tile) {
  return {divide_up<int64_t>(map.rows, wgmma_rows * tile.cluster),
          divide_up<int64_t>(map.columns, tile.columns)};
}

/// How many units run at a time.
int64_t workers(const Target& target, const WgmmaTile& tile) {
  return std::max<int64_t>(int64_t{target.sm_count} * tile.blocks / tile.cluster, 1);
}

/// The launch of ConvIgemmParams, one block a tile, as one of ConvWgmmaParams.
void make_persistent(Launch& launch, const Problem& problem, const Target& target,
                     const WgmmaTile& tile) {
  ConvWgmmaParams params{};
  std::memcpy(&params.product, launch.parameters.data(), sizeof(params.product));
  const ConvMap& map = params.product.map;
  const Extent extent = extent_of(map, tile);
  const int splits = static_cast<int>(launch.grid[2]);
  params.walk =
      make_walk(static_cast<int>(extent.rows), static_cast<int>(extent.columns),
                static_cast<int>(problem.shape.groups), splits, widest_swath / tile.columns);
  launch.parameters = bytes_of(params);
  launch.tensor_maps = {weights_map(problem, map, tile.columns / tile.cluster)};
  if (tile.access == Access::pointwise) launch.tensor_maps.push_back(source_map(problem, map));
  for (Pointer& pointer : launch.pointers) {
    if (pointer.offset == offsetof(ConvIgemmParams, output)) {
      launch.tensor_maps.push_back(output_map(problem, params.product, pointer, splits));
    }
    pointer.offset += static_cast<std::uint32_t>(offsetof(ConvWgmmaParams, product));
  }
  const int64_t running = std::min<int64_t>(params.walk.units, workers(target, tile));
  launch.cluster = {static_cast<unsigned>(tile.cluster), 1, 1};
  launch.grid = {static_cast<unsigned>(running * tile.cluster), 1, 1};
}

/// Cycles that a plan may take: see "How fast it may be" in docs/cuda_kernels.md.
double cycles_of(const Problem& problem, const Target& target, const ConvMap& map,
                 const WgmmaTile& tile, int64_t splits) {
  const Extent extent = extent_of(map, tile);
  const double l2_bytes = 36, shared_bytes = 128;  // of a multiprocessor and cycle
  const double a = wgmma_rows * wgmma_row_bytes, b = tile.columns * wgmma_row_bytes;
  const double products = 4.0 * tile.columns;
  const double loads = (a + b / tile.cluster) / l2_bytes;
  const double shared = (a + 2 * b + a + b) / shared_bytes;  // both warpgroups read all of B
  const auto depth_tiles = static_cast<double>(divide_up(
      divide_up<int64_t>(map.phases[0].depth * size_of(problem.dtype), wgmma_row_bytes), splits));
  const int64_t element = splits > 1 || size_of(problem.dtype) != 2 ? 4 : 2;
  const double storing = static_cast<double>(wgmma_rows * tile.columns * element) / 64 + 200;
  const double unit = depth_tiles * std::max({products, loads, shared}) * tile.blocks + storing;
  const double rounds =
      std::ceil(static_cast<double>(extent.rows * extent.columns * problem.shape.groups * splits) /
                static_cast<double>(workers(target, tile)));
  const double adding = splits == 1 ? 0.0
                                    : 5e3 + 8.0 * static_cast<double>(splits) * map.rows *
                                                map.result_pitch / (20.0 * target.sm_count);
  return rounds * unit + adding;
}

}  // namespace

std::vector<Plan> plan_conv_wgmma(const Problem& problem, const Target& target) {
  if (target.arch != 90 || !target.has_a_features || problem.dtype == DType::fp32) return {};
  const std::vector<ConvProduct> products = conv_products(problem);
  if (products.size() != 1 || !has_plain_weights(products[0])) return {};
  const ConvMap& map = products[0].map;
  const int64_t out_size = size_of(problem.dtype) == 2 ? 2 : 4;
  if (map.channels * size_of(problem.dtype) % 16 != 0 || map.columns * out_size % 16 != 0)
    return {};
  const Access access =
      has_plain_source(products[0], problem.shape) ? Access::pointwise : Access::vector;
  const std::string dtype(to_string(problem.dtype));
  std::vector<Guess> guesses;
  for (const WgmmaTile& tile : wgmma_tiles) {
    if (tile.access != access) continue;
    const ProductTile size{wgmma_rows, tile.columns,
                           static_cast<int>(wgmma_row_bytes / size_of(problem.dtype)), 384};
    Launch launch;
    launch.symbol = "conv_wgmma_" + dtype + "_" + tile.name();
    launch.header = "conv_wgmma_" + dtype + ".cuh";
    launch.min_arch = 90;
    launch.exact_arch = true;
    launch.block = {384, 1, 1};
    launch.shared_bytes =
        static_cast<unsigned>(wgmma_shared_bytes(tile.columns, tile.stages, tile.blocks));
    std::vector<Guess> here;
    append_guesses(here, problem, target, products, size, 1.0, launch, tile.name());
    for (Guess& guess : here) {
      for (Launch& step : guess.plan.launches) {
        if (step.symbol != launch.symbol) continue;
        guess.cost = cycles_of(problem, target, map, tile, step.grid[2]);
        make_persistent(step, problem, target, tile);
      }
      guesses.push_back(std::move(guess));
    }
  }
  return in_order(std::move(guesses), "implicit_gemm_wgmma");
}

}  // namespace alphaflops::cuda
