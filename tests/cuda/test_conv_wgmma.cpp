// The products of sm_90a against double precision: descriptors, swizzles and barriers emulated.
#include <algorithm>
#include <array>
#include <string>

#include "kernels/tile_walk.cuh"
#include "product_check.hpp"

namespace alphaflops::cuda {
std::vector<Plan> plan_conv_wgmma(const Problem& problem, const Target& target);
}

namespace {

using namespace emulate;

const std::vector<Entry> table =
    kernels_of({"conv_wgmma_fp16.cuh", "conv_wgmma_bf16.cuh", "conv_wgmma_tf32.cuh",
                "conv_wgmma_int8.cuh", "conv_reduce.cuh", "conv_turn_weights.cuh"});

/// What these kernels do: channels in whole pieces, and a stride of 1 for gradients.
Problem draw(std::mt19937& random) {
  constexpr DType dtypes[] = {DType::fp16, DType::bf16, DType::tf32, DType::int8};
  Problem problem = random_problem(random, dtypes[random() % 4]);
  Conv2dShape& s = problem.shape;
  const int64_t piece = 16 / size_of(problem.dtype);
  s.c_in = s.groups * piece * (1 + static_cast<int64_t>(random() % 4));
  const int64_t out_piece = 16 / (size_of(problem.dtype) == 2 ? 2 : 4);
  s.c_out = s.groups * ((s.c_out / s.groups + out_piece - 1) / out_piece * out_piece);
  const unsigned kind = random() % 8;
  if (kind < 3) {  // a depth that goes round the ring of tiles and is worth splitting
    s.c_in *= 5, s.k_h = s.k_w = 3;
    s.dilation_h = s.dilation_w = 1;
    s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = 1;
  } else if (kind < 6) {
    s.k_h = s.k_w = s.stride_h = s.stride_w = 1;
    s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = 0;
  }
  if (kind > 4) {  // many tiles along the rows
    s.batch = 1 + static_cast<int64_t>(random() % 9);
    s.h_in += 6, s.w_in += 3;
    s.c_in = s.groups * piece;
  }
  if (problem.pass == Pass::input_gradient) {
    s.c_out = s.groups * piece * (1 + static_cast<int64_t>(random() % 4));
    s.stride_h = s.stride_w = 1;
  }
  return problem;
}

/// The first guess for a layer with such channels and a square kernel.
Plan guess_of(int64_t batch, int64_t size, int64_t c_in, int64_t c_out, int64_t kernel) {
  Problem problem;
  problem.dtype = DType::fp16;
  Conv2dShape& s = problem.shape;
  s.batch = batch, s.c_in = c_in, s.c_out = c_out;
  s.h_in = s.w_in = size, s.k_h = s.k_w = kernel;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = kernel / 2;
  const std::vector<Plan> plans = plan_conv_wgmma(problem, {90, true, 132, 227 * 1024});
  CHECK(plans.size() >= 4 && plans.size() <= 12);
  return plans.empty() ? Plan{} : plans[0];
}

/// What runs first where time allows for little.
void check_guesses() {
  CHECK(guess_of(64, 56, 64, 64, 3).tile == "128x64_s4_c1_b2_vector");
  CHECK(guess_of(64, 56, 256, 64, 1).tile == "128x64_s4_c1_b2_pointwise");
  CHECK(guess_of(64, 28, 128, 128, 3).tile == "128x128_s6_c2_b1_vector");
  CHECK(guess_of(64, 28, 256, 512, 1).tile == "128x256_s4_c2_b1_pointwise");
  const Plan large = guess_of(256, 14, 256, 256, 3);
  CHECK(large.tile == "128x256_s4_c2_b1_vector");
  CHECK(large.launches[0].grid[0] == 132 && large.launches[0].cluster[0] == 2);
  const Plan deep = guess_of(1, 7, 512, 512, 3);  // one row of tiles
  CHECK(deep.tile.find("split") != std::string::npos);
}

/// Every tile once, whatever the swaths.
void check_walks() {
  std::mt19937 random(11);
  for (int turn = 0; turn < 200; ++turn) {
    const auto draw_size = [&random](unsigned most) {
      return 1 + static_cast<int>(random() % most);
    };
    const int rows = draw_size(9), columns = draw_size(20), groups = draw_size(3);
    const int splits = draw_size(3), widest = draw_size(8);
    const TileWalk walk = make_walk(rows, columns, groups, splits, widest);
    std::set<std::array<int, 4>> seen;
    for (int i = 0; i < walk.units; ++i) {
      const WalkedUnit at = unit_at(walk, i);
      CHECK(at.row >= 0 && at.row < rows && at.column >= 0 && at.column < columns);
      CHECK(at.group >= 0 && at.group < groups && at.split >= 0 && at.split < splits);
      seen.insert({at.row, at.column, at.group, at.split});
    }
    CHECK(walk.units == rows * columns * groups * splits);
    CHECK(seen.size() == static_cast<std::size_t>(walk.units));
  }
  // As many rows of tiles as columns of them are in flight: reads are shared both ways.
  const TileWalk walk = make_walk(1000, 64, 1, 1, 8);
  int most_row = 0, most_column = 0;
  for (int i = 0; i < 132; ++i) {
    most_row = std::max(most_row, unit_at(walk, i).row);
    most_column = std::max(most_column, unit_at(walk, i).column);
  }
  CHECK(most_row == 16 && most_column == 7);
}

}  // namespace

int main() {
  check_family(220, table, draw, plan_conv_wgmma, {132, 1, 132, 2});
  check_walks();
  check_guesses();
  return check::finish();
}
