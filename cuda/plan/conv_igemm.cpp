// Plans of convolutions as matrix products on tensor cores: forward, and gradients of the input.
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

struct IgemmTile {
  ProductTile size;
  int stages;
  Access access;
  std::string access_name;
};

#define X(dtype, rows, columns, depth, warps_m, warps_n, stages, access) \
  {{rows, columns, depth, warps_m * warps_n * 32}, stages, Access::access, #access},
std::vector<IgemmTile> igemm_tiles(DType dtype) {
  switch (dtype) {
    case DType::fp16: return {AF_CONV_IGEMM_FP16(X) AF_CONV_IGEMM_FP16_SM75(X)};
    case DType::bf16: return {AF_CONV_IGEMM_BF16(X)};
    case DType::tf32: return {AF_CONV_IGEMM_TF32(X)};
    case DType::int8: return {AF_CONV_IGEMM_INT8(X) AF_CONV_IGEMM_INT8_SM75(X)};
    case DType::fp32: return {};  // conv_simt.cpp
  }
  return {};
}
#undef X

}  // namespace

std::vector<Plan> plan_conv_igemm(const Problem& problem, const Target& target) {
  const std::vector<ConvProduct> products = conv_products(problem);
  if (products.empty()) return {};
  const std::string dtype(to_string(problem.dtype));
  std::vector<Guess> guesses;
  for (const IgemmTile& tile : igemm_tiles(problem.dtype)) {
    if (!suits(tile.access, problem, products)) continue;
    const std::string name = std::to_string(tile.size.rows) + "x" +
                             std::to_string(tile.size.columns) + "x" +
                             std::to_string(tile.size.depth) + "_s" + std::to_string(tile.stages);
    Launch launch;
    launch.symbol = "conv_igemm_" + dtype + "_" + name + "_" + tile.access_name;
    launch.header = "conv_igemm_" + dtype + ".cuh";
    launch.min_arch =
        tile.stages > 2 || problem.dtype == DType::tf32 || problem.dtype == DType::bf16 ? 80 : 75;
    if (launch.min_arch > target.arch) continue;
    launch.block = {static_cast<unsigned>(tile.size.threads), 1, 1};
    launch.shared_bytes = static_cast<unsigned>(tile.stages * (tile.size.rows + tile.size.columns) *
                                                tile.size.depth * size_of(problem.dtype));
    if (launch.shared_bytes > static_cast<unsigned>(target.shared_per_block_bytes)) continue;
    // Pieces staged in registers arrive late; those of pointwise layers cost no arithmetic.
    const double rate =
        (tile.stages == 2 ? 0.6 : 1.0) * (tile.access == Access::pointwise ? 1.05 : 1.0);
    append_guesses(guesses, problem, target, products, tile.size, rate, launch,
                   name + "_" + tile.access_name);
  }
  return in_order(std::move(guesses), "implicit_gemm");
}

}  // namespace alphaflops::cuda
