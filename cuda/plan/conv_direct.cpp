// Plans of convolutions of few input channels.
#include <string>
#include <vector>

#include "../kernels/conv_direct_params.cuh"
#include "conv_common.hpp"

namespace alphaflops::cuda {

namespace {

struct DirectTile {
  int pixels, channels, lanes;
};
#define X(pixels, channels, lanes) {pixels, channels, lanes},
constexpr DirectTile direct_tiles[] = {AF_CONV_DIRECT_TILES(X)};
#undef X

}  // namespace

std::vector<Plan> plan_conv_direct(const Problem& problem, const Target& target) {
  const auto g = geometry(problem);
  if (!g || problem.pass != Pass::forward || g->groups != 1 || g->c_in > direct_channels) {
    return {};
  }
  std::vector<Plan> plans;
  for (const DirectTile& tile : direct_tiles) {
    const int block_channels = tile.channels * tile.lanes;
    const int block_pixels = direct_threads / tile.lanes * tile.pixels;
    const int width = square_width(block_pixels, g->w_out);
    ConvDirectParams params{};
    params.conv = *g;
    params.tile = make_tile(*g, block_pixels / width, width);
    params.by_tile_width = make_divisor(static_cast<unsigned>(width));
    const std::int64_t shared =
        4 * (std::int64_t{params.tile.patch_height} * params.tile.patch_width * direct_channels +
             direct_weight_elements(*g, block_channels));
    if (shared > target.shared_per_block_bytes) continue;
    const std::string name = std::to_string(tile.pixels) + "x" + std::to_string(tile.channels) +
                             "x" + std::to_string(tile.lanes);
    Launch launch = conv_launch(problem, "conv_direct_" + simt_dtype(problem.dtype) + "_" + name,
                                "conv_direct.cuh", params);
    launch.grid = {static_cast<unsigned>(params.tile.across * params.tile.down * g->batch),
                   static_cast<unsigned>(divide_up(g->c_out, block_channels)), 1};
    launch.block = {direct_threads, 1, 1};
    launch.shared_bytes = static_cast<unsigned>(shared);
    plans.push_back(one_launch(launch, "direct", name));
  }
  return plans;
}

}  // namespace alphaflops::cuda
