// Plans of convolutions as matrix products in true fp32: forward, and gradients of the input.
#include <string>
#include <utility>
#include <vector>

#include "conv_launches.hpp"
#include "conv_map.hpp"
#include "kernels/conv_igemm_params.cuh"

namespace alphaflops::cuda {

namespace {

struct SimtTile {
  ProductTile size;
  Access access;
  std::string access_name;
};
#define X(rows, columns, depth, access) \
  {{rows, columns, depth, rows * columns / 64}, Access::access, #access},
const std::vector<SimtTile> simt_tiles{AF_CONV_SIMT(X)};
#undef X

}  // namespace

std::vector<Plan> plan_conv_simt(const Problem& problem, const Target& target) {
  if (problem.dtype != DType::fp32) return {};
  std::vector<Guess> guesses;
  for (const SimtTile& tile : simt_tiles) {
    const std::vector<ConvProduct> products =
        conv_products(problem, simt_phases(tile.size.rows, tile.size.columns));
    if (products.empty()) return {};
    if (!suits(tile.access, problem, products)) continue;
    const std::string name = std::to_string(tile.size.rows) + "x" +
                             std::to_string(tile.size.columns) + "x" +
                             std::to_string(tile.size.depth) + "_" + tile.access_name;
    Launch launch;
    launch.symbol = "conv_simt_fp32_" + name;
    launch.header = "conv_simt.cuh";
    launch.block = {static_cast<unsigned>(tile.size.threads), 1, 1};
    launch.shared_bytes =
        static_cast<unsigned>(2 * (tile.size.rows + tile.size.columns) * tile.size.depth * 4);
    append_guesses(guesses, problem, target, products, tile.size, 1.0, launch, name);
  }
  return in_order(std::move(guesses), "implicit_gemm_simt");
}

}  // namespace alphaflops::cuda
