// Plans of products of pairs of matrices.
#include "matmul.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"
#include "conv_launches.hpp"
#include "conv_map.hpp"
#include "kernels/matmul_params.cuh"

namespace alphaflops::cuda {

namespace {

using std::int64_t;

struct MatmulTile {
  ProductTile size;
  int stages;
  Access access;
  bool turned;
  std::string name;  // of its kernel, behind the dtype
};

constexpr bool straight = false, turned = true;

#define X(dtype, rows, columns, depth, warps_m, warps_n, stages, access, form) \
  {{rows, columns, depth, warps_m * warps_n * 32},                             \
   stages,                                                                     \
   Access::access,                                                             \
   form,                                                                       \
   #rows "x" #columns "x" #depth "_s" #stages "_" #access "_" #form},
#define X_FP32(rows, columns, depth, access, form)  \
  {{rows, columns, depth, (rows) * (columns) / 64}, \
   2,                                               \
   Access::access,                                  \
   form,                                            \
   #rows "x" #columns "x" #depth "_" #access "_" #form},
std::vector<MatmulTile> matmul_tiles(DType dtype) {
  switch (dtype) {
    case DType::fp32: return {AF_MATMUL_FP32(X_FP32)};
    case DType::tf32: return {AF_MATMUL_TF32(X)};
    case DType::fp16: return {AF_MATMUL_FP16(X) AF_MATMUL_FP16_SM75(X)};
    case DType::bf16: return {AF_MATMUL_BF16(X)};
    case DType::int8: return {};
  }
  return {};
}
#undef X_FP32
#undef X

/// Whether every row begins at a piece of 16 bytes.
bool is_aligned(const Matrices& m, int64_t pitch, int64_t width) {
  return m.outer % width == 0 && m.inner % width == 0 && pitch % width == 0 &&
         m.offset % width == 0;
}

std::string strides_of(const Matrices& m) {
  return std::to_string(m.row) + " x " + std::to_string(m.column);
}

/// Whether columns of b lie side by side, rather than rows.
bool is_turned(const MatmulProblem& problem) {
  const Matrices &a = problem.a, &b = problem.b, &c = problem.c;
  if (a.column != 1 || c.column != 1 || (b.column != 1 && b.row != 1)) {
    throw UnsupportedError("matmul: strides " + strides_of(a) + " by " + strides_of(b) + " to " +
                           strides_of(c) +
                           "; the columns of the first and of the result, and the rows or the "
                           "columns of the second, must be 1 apart");
  }
  return b.column == 1;
}

std::optional<MatmulParams> params_of(const MatmulProblem& problem, int64_t pitch_of_b) {
  constexpr int64_t most = 0x3fffffff;
  Conv2dShape shape;
  shape.w_in = problem.rows, shape.c_in = problem.depth, shape.c_out = problem.columns;
  const std::optional<ConvProduct> product = forward_product(shape);
  if (!product || problem.a.row * problem.rows > most || problem.c.row * problem.rows > most ||
      pitch_of_b * std::max(problem.columns, problem.depth) > most) {
    return std::nullopt;
  }
  MatmulParams params{};
  params.product.map = product->map;
  params.product.map.source_pitch = static_cast<int>(problem.a.row);
  params.product.map.weight_pitch = static_cast<int>(pitch_of_b);
  params.product.map.result_pitch = static_cast<int>(problem.c.row);
  const int64_t width = 16 / size_of(problem.dtype);
  params.product.stores_vectors =
      problem.columns % width == 0 && is_aligned(problem.c, problem.c.row, width) ? 1 : 0;
  params.a = {problem.a.outer, problem.a.inner};
  params.b = {problem.b.outer, problem.b.inner};
  params.c = {problem.c.outer, problem.c.inner};
  params.by_inner = make_divisor(static_cast<unsigned>(problem.inner));
  return params;
}

}  // namespace

std::vector<Launch> matmul_launches(const MatmulProblem& problem, const Target& target) {
  const bool b_turned = is_turned(problem);
  const int64_t pitch_of_b = b_turned ? problem.b.row : problem.b.column;
  std::optional<MatmulParams> params = params_of(problem, pitch_of_b);
  if (!params) return {};
  const int64_t width = 16 / size_of(problem.dtype);
  const bool has_pieces = is_aligned(problem.a, problem.a.row, width) &&
                          is_aligned(problem.b, pitch_of_b, width) &&
                          (b_turned ? problem.columns % width == 0 : problem.depth % width == 0) &&
                          (problem.depth % width == 0 || problem.a_is_padded);
  const std::string dtype(to_string(problem.dtype));
  std::vector<Launch> launches;
  for (const MatmulTile& tile : matmul_tiles(problem.dtype)) {
    if (tile.turned != b_turned || (tile.access != Access::scalar && !has_pieces)) continue;
    Launch launch;
    launch.symbol = "matmul_" + dtype + "_" + tile.name;
    launch.header = size_of(problem.dtype) == 2 ? "matmul_half.cuh" : "matmul_fp32.cuh";
    const bool runs_anywhere =
        problem.dtype == DType::fp32 || (problem.dtype == DType::fp16 && tile.stages == 2);
    launch.min_arch = runs_anywhere ? 75 : 80;
    const int64_t down = divide_up<int64_t>(problem.rows, tile.size.rows);
    const int64_t across = divide_up<int64_t>(problem.columns, tile.size.columns);
    const int64_t blocks = down * across * problem.outer * problem.inner;
    if (launch.min_arch > target.arch || blocks > 0x7fffffff) continue;
    params->by_tiles = make_divisor(static_cast<unsigned>(down * across));
    params->product.by_column_tiles = make_divisor(static_cast<unsigned>(across));
    params->product.depth_tiles_a_split =
        static_cast<int>(divide_up<int64_t>(problem.depth, tile.size.depth));
    launch.grid = {static_cast<unsigned>(blocks), 1, 1};
    launch.block = {static_cast<unsigned>(tile.size.threads), 1, 1};
    const int64_t element = size_of(problem.dtype);
    // Turned rows of B are longer, but for fp32.
    const int64_t pad = !b_turned || problem.dtype == DType::fp32 ? 0 : (element == 2 ? 16 : 32);
    launch.shared_bytes = static_cast<unsigned>(
        tile.stages * ((tile.size.rows + tile.size.columns) * element + pad) * tile.size.depth);
    launch.parameters = bytes_of(*params);
    const auto pointer = [&](std::size_t offset, const Matrices& m) {
      launch.pointers.push_back({static_cast<std::uint32_t>(offset), m.buffer, m.offset * element});
    };
    constexpr std::size_t product = offsetof(MatmulParams, product);
    pointer(product + offsetof(ConvIgemmParams, input), problem.a);
    pointer(product + offsetof(ConvIgemmParams, weights), problem.b);
    pointer(product + offsetof(ConvIgemmParams, output), problem.c);
    launches.push_back(std::move(launch));
  }
  return launches;
}

std::vector<Plan> plan_matmul(const MatmulProblem& problem, const Target& target) {
  std::vector<Plan> plans;
  for (Launch& launch : matmul_launches(problem, target)) {
    Plan plan;
    plan.algorithm = "matmul";
    plan.tile = launch.symbol.substr(launch.symbol.find('_', 7) + 1);
    plan.launches.push_back(std::move(launch));
    plans.push_back(std::move(plan));
  }
  return plans;
}

}  // namespace alphaflops::cuda
