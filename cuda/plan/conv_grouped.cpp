// Plans of convolutions of narrow groups.
#include <string>
#include <vector>

#include "../kernels/conv_grouped_params.cuh"
#include "conv_common.hpp"

namespace alphaflops::cuda {

namespace {

struct GroupedTile {
  int pixels, width;
};
#define X(pixels, width) {pixels, width},
constexpr GroupedTile grouped_tiles[] = {AF_CONV_GROUPED_TILES(X)};
#undef X

constexpr int block_channels = 32;  // about as many output channels of a block

}  // namespace

std::vector<Plan> plan_conv_grouped(const Problem& problem, const Target& target) {
  const auto g = geometry(problem);
  if (!g || problem.pass != Pass::forward || g->groups < 2 || g->group_in > grouped_widest ||
      g->group_out > grouped_widest) {
    return {};
  }
  const bool fours = g->group_in % 4 == 0 && g->group_out % 4 == 0;
  const bool pairs = g->group_in % 2 == 0 && g->group_out % 2 == 0;
  if (!pairs) return {};
  std::vector<Plan> plans;
  for (const GroupedTile& tile : grouped_tiles) {
    if (tile.width != (fours ? 4 : 2)) continue;
    ConvGroupedParams params{};
    params.conv = *g;
    params.block_groups = std::clamp(block_channels / g->group_out, 1, g->groups);
    const int block_in = params.block_groups * g->group_in;
    const int block_out = params.block_groups * g->group_out;
    const int channel_lanes = block_out / tile.width;
    params.pixel_lanes = grouped_threads / channel_lanes;
    const int pixels = params.pixel_lanes * tile.pixels;
    const int width = square_width(pixels, g->w_out);
    const int height = pixels / width;
    params.tile = make_tile(*g, height, width);
    params.pitch = block_in + tile.width;
    params.by_tile_width = make_divisor(static_cast<unsigned>(width));
    params.by_channel_lanes = make_divisor(static_cast<unsigned>(channel_lanes));
    params.by_lanes_of_group = make_divisor(static_cast<unsigned>(g->group_out / tile.width));
    params.by_patch_packs = make_divisor(static_cast<unsigned>(block_in / tile.width));
    params.by_block_out = make_divisor(static_cast<unsigned>(block_out));
    const std::int64_t shared =
        4 * (std::int64_t{params.tile.patch_height} * params.tile.patch_width * params.pitch +
             std::int64_t{g->k_h} * g->k_w * g->group_in * block_out);
    if (shared > target.shared_per_block_bytes) continue;
    const std::string name = std::to_string(tile.pixels) + "x" + std::to_string(tile.width);
    Launch launch = conv_launch(problem, "conv_grouped_" + simt_dtype(problem.dtype) + "_" + name,
                                "conv_grouped.cuh", params);
    launch.grid = {static_cast<unsigned>(params.tile.across * params.tile.down * g->batch),
                   static_cast<unsigned>(divide_up(g->groups, params.block_groups)), 1};
    launch.block = {grouped_threads, 1, 1};
    launch.shared_bytes = static_cast<unsigned>(shared);
    plans.push_back(one_launch(launch, "grouped", name));
  }
  return plans;
}

}  // namespace alphaflops::cuda
