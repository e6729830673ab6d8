// Plans of the probes: the peak of a dtype's pipe, bandwidths, and what timing needs.
#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "../kernels/probe_params.cuh"
#include "alphaflops/error.hpp"
#include "launch.hpp"
#include "problem.hpp"

namespace alphaflops::cuda {

namespace {

constexpr int blocks_of_sm = 4;  // resident together; each probe's registers allow it

template <typename Params>
Plan probe_plan(std::string symbol, std::string header, std::string algorithm, std::int64_t blocks,
                int threads, const Params& params, std::vector<Pointer> pointers) {
  Launch launch;
  launch.symbol = std::move(symbol);
  launch.header = std::move(header);
  launch.grid = {static_cast<unsigned>(blocks), 1, 1};
  launch.block = {static_cast<unsigned>(threads), 1, 1};
  launch.parameters = bytes_of(params);
  launch.pointers = std::move(pointers);
  Plan plan;
  plan.launches.push_back(std::move(launch));
  plan.algorithm = std::move(algorithm);
  return plan;
}

void require_amount(const ProbeProblem& problem, std::int64_t least, std::int64_t most) {
  if (problem.amount < least || problem.amount > most) {
    throw ShapeError("probe " + std::string(to_string(problem.probe)) + ": amount is " +
                     std::to_string(problem.amount) + "; it must be " + std::to_string(least) +
                     " to " + std::to_string(most));
  }
}

Plan fma_plan(const ProbeProblem& problem, const Target& target, const std::string& pipe,
              int threads, double macs_of_thread) {
  FmaParams params{};
  params.iterations = static_cast<int>(problem.amount);
  params.factor = 0.999F, params.addend = 0.01F;  // stays near 10
  const std::string dtype(to_string(problem.dtype));
  const std::int64_t blocks = std::int64_t{target.sm_count} * blocks_of_sm;
  Plan plan = probe_plan(pipe == "fma" ? "probe_fma_fp32" : "probe_" + pipe + "_" + dtype,
                         pipe == "fma" ? "probe.cuh" : "probe_" + pipe + ".cuh", pipe, blocks,
                         threads, params, {{offsetof(FmaParams, output), Buffer::workspace}});
  plan.tile = dtype;
  plan.workspace_bytes = blocks * threads * 4;
  plan.operations = 2.0 * macs_of_thread * static_cast<double>(problem.amount) *
                    static_cast<double>(blocks * threads);
  return plan;
}

/// Elements in 32 bytes, the depth of one matrix instruction; tf32 takes four bytes.
double depth_of(DType dtype) { return 32.0 / static_cast<double>(size_of(dtype)); }

}  // namespace

std::vector<Plan> plan_probe_fma(const ProbeProblem& problem, const Target& target) {
  if (problem.probe != Probe::fma) return {};
  require_amount(problem, 1, 0x7fffffff);
  if (problem.dtype == DType::fp32) {
    return {fma_plan(problem, target, "fma", probe_threads, fma_chains * fma_steps)};
  }
  std::vector<Plan> plans;
  const double depth = depth_of(problem.dtype);
  if (target.arch == 90 && target.has_a_features) {
    const double macs = probe_rows * probe_columns * depth * wgmma_steps / wgmma_threads;
    Plan plan = fma_plan(problem, target, "wgmma", wgmma_threads, macs);
    plan.launches[0].min_arch = 90;
    plan.launches[0].exact_arch = true;
    plan.launches[0].shared_bytes = (probe_rows + probe_columns) * 32 * wgmma_slices;
    plans.push_back(plan);
  }
  Plan plan = fma_plan(problem, target, "mma", probe_threads, 16 * 8 * depth * mma_tiles / 32);
  const bool turing = problem.dtype == DType::fp16 || problem.dtype == DType::int8;
  plan.launches[0].min_arch = turing ? 75 : 80;
  plans.push_back(plan);
  return plans;
}

std::vector<Plan> plan_probe_memory(const ProbeProblem& problem, const Target& target) {
  std::vector<Plan> plans;
  if (problem.probe == Probe::copy) {
    require_amount(problem, 1, std::int64_t{1} << 40);
    CopyProbeParams params{};
    params.packs = problem.amount / 16;
    params.tail_bytes = static_cast<int>(problem.amount % 16);
    for (const int unroll : {4, 8, 1}) {
      const std::int64_t per_block = std::int64_t{probe_threads} * unroll;
      const std::int64_t blocks =
          std::max<std::int64_t>((params.packs + per_block - 1) / per_block, 1);
      if (blocks > 0x7fffffff) continue;
      Plan plan = probe_plan("probe_copy_" + std::to_string(unroll), "probe.cuh", "copy", blocks,
                             probe_threads, params,
                             {{offsetof(CopyProbeParams, input), Buffer::input},
                              {offsetof(CopyProbeParams, output), Buffer::output}});
      plan.tile = std::to_string(unroll);
      plan.bytes = 2.0 * static_cast<double>(problem.amount);
      plans.push_back(plan);
    }
  } else if (problem.probe == Probe::read) {
    require_amount(problem, 16, std::int64_t{1} << 34);
    constexpr std::int64_t least_bytes = std::int64_t{1} << 28;  // so that it takes its time
    ReadProbeParams params{};
    params.packs = static_cast<int>(problem.amount / 16);
    params.repeats = static_cast<int>(
        std::max<std::int64_t>(least_bytes / (params.packs * std::int64_t{16}), 1));
    const std::int64_t blocks = std::int64_t{target.sm_count} * blocks_of_sm;
    Plan plan = probe_plan("probe_read", "probe.cuh", "read", blocks, probe_threads, params,
                           {{offsetof(ReadProbeParams, input), Buffer::input},
                            {offsetof(ReadProbeParams, output), Buffer::workspace}});
    plan.workspace_bytes = blocks * probe_threads * 4;
    plan.bytes = 16.0 * params.packs * params.repeats;
    plans.push_back(plan);
  } else if (problem.probe == Probe::flush) {
    require_amount(problem, 16, std::int64_t{1} << 40);
    FlushParams params{};
    params.packs = problem.amount / 16;
    Plan plan = probe_plan("probe_flush", "probe.cuh", "flush",
                           std::int64_t{target.sm_count} * blocks_of_sm, probe_threads, params,
                           {{offsetof(FlushParams, output), Buffer::workspace}});
    plan.workspace_bytes = params.packs * 16;
    plan.bytes = static_cast<double>(plan.workspace_bytes);
    plans.push_back(plan);
  }
  return plans;
}

std::vector<Plan> plan_probe_timing(const ProbeProblem& problem, const Target&) {
  if (problem.probe == Probe::empty) {
    return {probe_plan("probe_empty", "probe.cuh", "empty", 1, 32, EmptyParams{}, {})};
  }
  if (problem.probe != Probe::block) return {};
  constexpr std::int64_t longest_ns = 10'000'000'000;
  require_amount(problem, 1, longest_ns);
  BlockParams params{};
  params.timeout_ns = problem.amount;
  return {probe_plan("probe_block", "probe.cuh", "block", 1, 1, params,
                     {{offsetof(BlockParams, flag), Buffer::flag}})};
}

}  // namespace alphaflops::cuda
