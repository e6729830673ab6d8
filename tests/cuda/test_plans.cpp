// What every plan holds, whatever its family: it fits its target, its launches can be made, and
// what is written into its parameters lies within them and apart.
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"
#include "check.hpp"
#include "plan/plans.hpp"

using namespace alphaflops;
using namespace alphaflops::cuda;

namespace {

const std::vector<Target> targets{{75, false, 40, 64 * 1024},   {80, false, 108, 163 * 1024},
                                  {86, false, 84, 99 * 1024},   {89, false, 128, 99 * 1024},
                                  {90, true, 132, 227 * 1024},  {90, false, 132, 227 * 1024},
                                  {100, false, 148, 227 * 1024}};

void check_launch(const Launch& launch, const Target& target, const std::string& where) {
  const auto threads = launch.block[0] * launch.block[1] * launch.block[2];
  CHECK_MESSAGE(!launch.symbol.empty() && launch.header.ends_with(".cuh"), where + ": names");
  CHECK_MESSAGE(threads >= 1 && threads <= 1024, where + ": threads of a block");
  CHECK_MESSAGE(launch.grid[0] >= 1 && launch.grid[0] <= 0x7fffffffU, where + ": grid x");
  CHECK_MESSAGE(launch.grid[1] >= 1 && launch.grid[1] <= 65535U, where + ": grid y");
  CHECK_MESSAGE(launch.grid[2] >= 1 && launch.grid[2] <= 65535U, where + ": grid z");
  CHECK_MESSAGE(launch.shared_bytes <= static_cast<unsigned>(target.shared_per_block_bytes),
                where + ": shared memory");
  CHECK_MESSAGE(launch.parameters.size() <= 4096, where + ": size of the parameter");
  std::set<std::uint32_t> taken;
  const auto take = [&](std::uint32_t offset, std::uint32_t size, std::uint32_t alignment) {
    CHECK_MESSAGE(offset % alignment == 0, where + ": alignment in the parameter");
    CHECK_MESSAGE(offset + size <= launch.parameters.size(), where + ": end of the parameter");
    for (std::uint32_t i = 0; i < size; ++i) {
      CHECK_MESSAGE(taken.insert(offset + i).second, where + ": written twice");
    }
  };
  for (const Pointer& pointer : launch.pointers) {
    take(pointer.offset, 8, 8);
    CHECK_MESSAGE(pointer.byte_offset >= 0, where + ": negative offset");
  }
  for (const TensorMap& map : launch.tensor_maps) {
    take(map.offset, 128, 64);
    CHECK_MESSAGE(launch.min_arch >= 90, where + ": tensor maps need sm_90");
    CHECK_MESSAGE(map.rank >= 1 && map.rank <= 5, where + ": rank of a tensor map");
  }
}

template <typename Any>
std::size_t check_plans(const Any& problem, const std::string& what) {
  std::size_t found = 0;
  for (const Target& target : targets) {
    std::set<std::pair<std::string, std::string>> names;
    for (const Plan& plan : plans(problem, target)) {
      const std::string where =
          what + ", sm_" + std::to_string(target.arch) + ", " + plan.algorithm + " " + plan.tile;
      CHECK_MESSAGE(names.emplace(plan.algorithm, plan.tile).second, where + ": stands twice");
      CHECK_MESSAGE(!plan.algorithm.empty() && !plan.launches.empty(), where + ": empty");
      CHECK_MESSAGE(plan.workspace_bytes >= 0, where + ": workspace");
      for (const Launch& launch : plan.launches) {
        CHECK_MESSAGE(!launch.exact_arch || target.has_a_features, where + ": wrong machine code");
        CHECK_MESSAGE(launch.min_arch <= target.arch, where + ": wrong machine code");
        check_launch(launch, target, where);
      }
      ++found;
    }
  }
  return found;
}

Conv2dShape random_shape(std::mt19937& random) {
  const auto draw = [&](int low, int high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  Conv2dShape s;
  s.groups = draw(0, 2) == 0 ? draw(1, 8) : 1;
  s.batch = draw(1, 4);
  s.c_in = s.groups * draw(1, 70);
  s.c_out = s.groups * draw(1, 70);
  s.k_h = draw(1, 5), s.k_w = draw(1, 5);
  s.stride_h = draw(1, 3), s.stride_w = draw(1, 3);
  s.dilation_h = draw(1, 2), s.dilation_w = draw(1, 2);
  s.pad_top = draw(0, 2), s.pad_bottom = draw(0, 2), s.pad_left = draw(0, 2),
  s.pad_right = draw(0, 2);
  s.h_in = (s.k_h - 1) * s.dilation_h + draw(1, 20);
  s.w_in = (s.k_w - 1) * s.dilation_w + draw(1, 20);
  return s;
}

}  // namespace

int main() {
  std::mt19937 random(7);
  for (int trial = 0; trial < 60; ++trial) {
    const Conv2dShape shape = random_shape(random);
    for (int dtype = 0; dtype < dtype_count; ++dtype) {
      for (const Pass pass : {Pass::forward, Pass::input_gradient, Pass::weight_gradient}) {
        const Problem problem{shape, static_cast<DType>(dtype), pass, Activation::none, false};
        check_plans(problem, "conv " + std::string(to_string(problem.dtype)) + " " +
                                 std::string(to_string(pass)));
      }
    }
  }
  // More blocks down a grid than a device takes.
  for (const std::int64_t groups : {std::int64_t{1}, std::int64_t{1} << 21}) {
    const Conv2dShape shape{1, groups * 2, 1, 1,     std::int64_t{1} << 22, 1, 1, 1, 1, 0, 0, 0,
                            0, 1,          1, groups};
    CHECK(check_plans(Problem{shape}, "many channels") > 0);
  }
  for (int stream = 0; stream < stream_count; ++stream) {
    StreamProblem problem;
    problem.stream = static_cast<Stream>(stream);
    problem.shape = {2, 19, 13, 11, 3, 3, 2, 2, 1, 1, 1, 1};
    problem.parts.assign(part_count, {1, 1});
    problem.out_channels = part_count;
    problem.table_rows = 7;
    check_plans(problem, std::string(to_string(problem.stream)));
    CHECK(parse_stream(to_string(problem.stream)) == problem.stream);
  }
  for (int cell = 0; cell < cell_count; ++cell) {
    // Images that are more than a grid has blocks down.
    for (const std::int64_t batch : {std::int64_t{3}, std::int64_t{1} << 17}) {
      const RecurrentProblem problem{static_cast<Cell>(cell), batch, 5, 2, 7};
      CHECK(check_plans(problem, "recurrence of " + std::to_string(batch)) > 0);
    }
  }
  for (int probe = 0; probe < probe_count; ++probe) {
    const ProbeProblem problem{static_cast<Probe>(probe), DType::fp32, 1 << 20};
    check_plans(problem, std::string(to_string(problem.probe)));
    CHECK(parse_probe(to_string(problem.probe)) == problem.probe);
  }

  CHECK_RAISES(plans(Problem{}, Target{70, false, 80, 96 * 1024}), UnsupportedError, "7.0");
  Problem bad;
  bad.shape.k_h = 3;
  CHECK_RAISES(plans(bad, targets[1]), ShapeError, "");
  CHECK_RAISES(plans(Problem{{}, DType::fp32, Pass::forward, Activation::gelu, false}, targets[1]),
               UnsupportedError, "gelu");
  CHECK_RAISES(parse_stream("sort"), UnsupportedError, "softmax");
  CHECK_RAISES(parse_probe("sort"), UnsupportedError, "flush");
  return check::finish();
}
