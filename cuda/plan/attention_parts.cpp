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
  if (problem.has_mask) rows.mask = {problem.mask, problem.heads, problem.length};
  std::vector<Plan> found = plans(rows, target);
  if (found.empty()) return {};
  Launch launch = std::move(found[0].launches[0]);
  for (Pointer& pointer : launch.pointers) {
    if (pointer.buffer != Buffer::mask) pointer.buffer = Buffer::workspace;
  }
  return launch;
}

/// Every `group`th of the heads, from one of them on.
Matrices heads_from(int64_t head, const Matrices& all, int64_t group) {
  Matrices some = all;
  some.offset += head * all.inner;
  some.inner *= group;
  return some;
}

}  // namespace

std::vector<Plan> plan_attention_parts(const AttentionProblem& problem, const Target& target) {
  const Matrices scores = scores_of(problem);
  Matrices keys = problem.k;  // turned: from depth to depth, and from key to key
  std::swap(keys.row, keys.column);
  // Heads that share keys are as far apart as groups, and so a product of its own each.
  const int64_t group = problem.group, inner = problem.heads / group;
  std::vector<Launch> first, last;
  for (int64_t head = 0; head < group; ++head) {
    const Matrices q = heads_from(head, problem.q, group), y = heads_from(head, problem.y, group);
    const Matrices between = heads_from(head, scores, group);
    const auto products = matmul_launches({problem.batch, inner, problem.length, problem.kv_length,
                                           problem.depth, q, keys, between, problem.dtype},
                                          target);
    const auto values =
        matmul_launches({problem.batch, inner, problem.length, problem.v_depth, problem.kv_length,
                         between, problem.v, y, problem.dtype, true},
                        target);
    if (products.empty() || values.empty()) return {};
    first.push_back(products[0]), last.push_back(values[0]);
  }
  const Launch between = softmax(problem, scores, target);
  if (between.symbol.empty()) return {};
  Plan plan;
  plan.tile = first[0].symbol + " " + last[0].symbol;
  plan.launches = std::move(first);
  plan.launches.push_back(between);
  plan.launches.insert(plan.launches.end(), last.begin(), last.end());
  plan.workspace_bytes = problem.batch * scores.outer * size_of(problem.dtype);
  plan.algorithm = "attention_parts";
  return {plan};
}

}  // namespace alphaflops::cuda
