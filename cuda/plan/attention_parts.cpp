// Plans of attention as two products with a softmax between them, the scores in the workspace.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "conv_common.hpp"
#include "matmul.hpp"
#include "plans.hpp"

namespace alphaflops::cuda {

namespace {

using std::int64_t;

/// In the workspace: rows of keys that fill pieces of 16 bytes.
Matrices scores_of(const AttentionProblem& problem) {
  const int64_t pitch = divide_up(problem.kv_length * size_of(problem.dtype), int64_t{16}) * 16 /
                        size_of(problem.dtype);
  const int64_t inner = problem.length * pitch;
  return {Buffer::workspace, problem.heads * inner, inner, pitch};
}

Launch softmax(const AttentionProblem& problem, const Matrices& scores, const Target& target) {
  StreamProblem rows;
  rows.stream = Stream::softmax;
  rows.dtype = problem.dtype;
  rows.shape.batch = problem.batch * problem.heads * problem.length;
  rows.shape.channels = scores.row;
  rows.softmax_columns = problem.kv_length;
  rows.scale = 1.0F / std::sqrt(static_cast<float>(problem.depth));
  rows.causal_rows = problem.is_causal ? problem.length : 0;
  std::vector<Plan> found = plans(rows, target);
  if (found.empty()) return {};
  Launch launch = std::move(found[0].launches[0]);
  for (Pointer& pointer : launch.pointers) pointer.buffer = Buffer::workspace;
  return launch;
}

}  // namespace

std::vector<Plan> plan_attention_parts(const AttentionProblem& problem, const Target& target) {
  const Matrices scores = scores_of(problem);
  Matrices keys = problem.k;  // turned: from depth to depth, and from key to key
  std::swap(keys.row, keys.column);
  const MatmulProblem first{problem.batch, problem.heads, problem.length, problem.kv_length,
                            problem.depth, problem.q,     keys,           scores,
                            problem.dtype};
  const MatmulProblem second{problem.batch,     problem.heads, problem.length, problem.v_depth,
                             problem.kv_length, scores,        problem.v,      problem.y,
                             problem.dtype,     true};
  const std::vector<Launch> products = matmul_launches(first, target);
  const std::vector<Launch> values = matmul_launches(second, target);
  const Launch between = softmax(problem, scores, target);
  if (products.empty() || values.empty() || between.symbol.empty()) return {};
  Plan plan;
  plan.launches = {products[0], between, values[0]};
  plan.workspace_bytes = problem.batch * scores.outer * size_of(problem.dtype);
  plan.algorithm = "attention_parts";
  plan.tile = products[0].symbol + " " + values[0].symbol;
  return {plan};
}

}  // namespace alphaflops::cuda
