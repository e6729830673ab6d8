#include "plans.hpp"

#include <algorithm>
#include <initializer_list>
#include <string>
#include <utility>

#include "alphaflops/error.hpp"
#include "families.hpp"

namespace alphaflops::cuda {

#define X(name) std::vector<Plan> plan_##name(const Problem& problem, const Target& target);
ALPHAFLOPS_CUDA_FAMILIES(X)
#undef X
#define X(name) std::vector<Plan> plan_##name(const StreamProblem& problem, const Target& target);
ALPHAFLOPS_CUDA_STREAMS(X)
#undef X
#define X(name) std::vector<Plan> plan_##name(const MatmulProblem& problem, const Target& target);
ALPHAFLOPS_CUDA_MATMULS(X)
#undef X
#define X(name) \
  std::vector<Plan> plan_##name(const AttentionProblem& problem, const Target& target);
ALPHAFLOPS_CUDA_ATTENTIONS(X)
#undef X
#define X(name) \
  std::vector<Plan> plan_##name(const RecurrentProblem& problem, const Target& target);
ALPHAFLOPS_CUDA_RECURRENCES(X)
#undef X
#define X(name) std::vector<Plan> plan_##name(const ProbeProblem& problem, const Target& target);
ALPHAFLOPS_CUDA_PROBES(X)
#undef X

namespace {

/// Whether the device can run all launches of a plan.
bool runs_on(const Plan& plan, const Target& target) {
  return std::ranges::all_of(plan.launches, [&](const Launch& launch) {
    const bool has_arch = launch.exact_arch
                              ? launch.min_arch == target.arch && target.has_a_features
                              : launch.min_arch <= target.arch;
    constexpr unsigned most_across = 0x7fffffff, most_down = 65535;  // and in depth
    return has_arch && launch.grid[0] <= most_across && launch.grid[1] <= most_down &&
           launch.grid[2] <= most_down &&
           launch.shared_bytes <= static_cast<unsigned>(target.shared_per_block_bytes);
  });
}

template <typename Any>
using Family = std::vector<Plan> (*)(const Any&, const Target&);

template <typename Any>
std::vector<Plan> gather(const Any& problem, const Target& target,
                         std::initializer_list<Family<Any>> families) {
  std::vector<Plan> all;
  for (const Family<Any> family : families) {
    for (Plan& plan : family(problem, target)) {
      if (runs_on(plan, target)) {
        all.push_back(std::move(plan));
      }
    }
  }
  return all;
}

void check(const Target& target) {
  if (target.arch < 75) {
    throw UnsupportedError("compute capability " + std::to_string(target.arch / 10) + "." +
                           std::to_string(target.arch % 10) +
                           " is not supported; the kernels need 7.5 (Turing) or later");
  }
}

/// The same problem in fp32 where no unit knows tf32, as cuDNN has it.
template <typename Any>
Any as_known(const Any& problem, const Target& target) {
  Any known = problem;
  if (target.arch < 80 && problem.dtype == DType::tf32) known.dtype = DType::fp32;
  return known;
}

void check_size(const char* what, std::int64_t size) {
  if (size < 1) {
    throw ShapeError(std::string(what) + ": a size is " + std::to_string(size) +
                     "; all must be at least 1");
  }
}

}  // namespace

std::vector<Plan> plans(const Problem& problem, const Target& target) {
  check(target);
  static_cast<void>(problem.shape.macs());  // raises for a shape that no convolution has
  if (problem.activation != Activation::none && problem.activation != Activation::relu &&
      problem.activation != Activation::relu6) {
    throw UnsupportedError("activation " + std::string(to_string(problem.activation)) +
                           " is not known to the epilogue, which does none, relu and relu6; run it "
                           "as a launch of its own");
  }
  if (problem.transposed && problem.pass != Pass::input_gradient) {
    throw UnsupportedError("a transposed convolution is of the pass input_gradient, not " +
                           std::string(to_string(problem.pass)));
  }
#define X(name) plan_##name,
  return gather<Problem>(as_known(problem, target), target, {ALPHAFLOPS_CUDA_FAMILIES(X)});
}

std::vector<Plan> plans(const StreamProblem& problem, const Target& target) {
  check(target);
  return gather<StreamProblem>(problem, target, {ALPHAFLOPS_CUDA_STREAMS(X)});
}

std::vector<Plan> plans(const MatmulProblem& problem, const Target& target) {
  check(target);
  for (const std::int64_t size :
       {problem.outer, problem.inner, problem.rows, problem.columns, problem.depth}) {
    check_size("matmul", size);
  }
  return gather<MatmulProblem>(as_known(problem, target), target, {ALPHAFLOPS_CUDA_MATMULS(X)});
}

std::vector<Plan> plans(const AttentionProblem& problem, const Target& target) {
  check(target);
  for (const std::int64_t size : {problem.batch, problem.heads, problem.length, problem.kv_length,
                                  problem.depth, problem.v_depth}) {
    check_size("attention", size);
  }
  if (problem.group < 1 || problem.heads % problem.group != 0) {
    throw ShapeError("attention: " + std::to_string(problem.heads) + " heads in groups of " +
                     std::to_string(problem.group) + ", which do not come out even");
  }
  if (problem.has_mask && problem.mask.column != 1) {
    throw UnsupportedError("attention: the columns of the mask are " +
                           std::to_string(problem.mask.column) + " apart; they must be 1 apart");
  }
  if (problem.is_causal && problem.length > problem.kv_length) {
    throw ShapeError("attention: " + std::to_string(problem.length) + " queries behind a causal " +
                     "mask of " + std::to_string(problem.kv_length) +
                     " keys; the first of them would see none");
  }
  return gather<AttentionProblem>(as_known(problem, target), target,
                                  {ALPHAFLOPS_CUDA_ATTENTIONS(X)});
}

std::vector<Plan> plans(const RecurrentProblem& problem, const Target& target) {
  check(target);
  for (const std::int64_t size :
       {problem.batch, problem.length, problem.directions, problem.hidden}) {
    check_size("recurrence", size);
  }
  if (problem.directions > 2) {
    throw ShapeError("recurrence: " + std::to_string(problem.directions) +
                     " directions; there are one or two");
  }
  if (problem.projection < 0 || (problem.projection > 0 && problem.cell != Cell::lstm)) {
    throw ShapeError("recurrence: a projection to " + std::to_string(problem.projection) +
                     " features; only an lstm has one, and 0 says that there is none");
  }
  return gather<RecurrentProblem>(as_known(problem, target), target,
                                  {ALPHAFLOPS_CUDA_RECURRENCES(X)});
}

std::vector<Plan> plans(const ProbeProblem& problem, const Target& target) {
  check(target);
  return gather<ProbeProblem>(problem, target, {ALPHAFLOPS_CUDA_PROBES(X)});
#undef X
}

}  // namespace alphaflops::cuda
