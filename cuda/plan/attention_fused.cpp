// Plans of attention in one launch, of heads with as many features as its kernels have.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "conv_common.hpp"
#include "kernels/attention_fused_params.cuh"

namespace alphaflops::cuda {

namespace {

using std::int64_t;

bool has_kernel(DType dtype, int64_t depth) {
#define X(type, of) \
  if (dtype == DType::type && depth == (of)) return true;
  AF_ATTENTION(X)
#undef X
  return false;
}

/// Whether every head of a token begins at a piece of 16 bytes.
bool is_aligned(const Matrices& m) {
  constexpr int64_t width = 8;
  return m.outer % width == 0 && m.inner % width == 0 && m.row % width == 0 &&
         m.offset % width == 0 && m.column == 1 && m.row < (int64_t{1} << 30);
}

MatrixStep step_of(const Matrices& m) { return {m.outer, m.inner}; }

}  // namespace

std::vector<Plan> plan_attention_fused(const AttentionProblem& problem, const Target& target) {
  if (!has_kernel(problem.dtype, problem.depth) || problem.v_depth != problem.depth ||
      target.arch < 80 || problem.length > 1 << 30 || problem.kv_length > 1 << 30 ||
      !is_aligned(problem.q) || !is_aligned(problem.k) || !is_aligned(problem.v) ||
      !is_aligned(problem.y) || problem.mask.row >= int64_t{1} << 30) {
    return {};
  }
  const int64_t query_tiles = divide_up<int64_t>(problem.length, attention_queries);
  const int64_t blocks = query_tiles * problem.batch * problem.heads;
  if (blocks > 0x7fffffff) return {};
  AttentionParams params{};
  params.q_step = step_of(problem.q), params.k_step = step_of(problem.k);
  params.v_step = step_of(problem.v), params.y_step = step_of(problem.y);
  params.mask_step = step_of(problem.mask);
  params.mask_row = static_cast<int>(problem.mask.row);
  params.q_row = static_cast<int>(problem.q.row), params.k_row = static_cast<int>(problem.k.row);
  params.v_row = static_cast<int>(problem.v.row), params.y_row = static_cast<int>(problem.y.row);
  params.length = static_cast<int>(problem.length);
  params.kv_length = static_cast<int>(problem.kv_length);
  params.hidden = problem.is_causal ? static_cast<int>(problem.length - 1) : -1;
  params.scale = 1.0F / std::sqrt(static_cast<float>(problem.depth));
  params.by_query_tiles = make_divisor(static_cast<unsigned>(query_tiles));
  params.by_heads = make_divisor(static_cast<unsigned>(problem.heads));
  params.by_group = make_divisor(static_cast<unsigned>(problem.group));
  Launch launch;
  const std::string tile =
      std::string(to_string(problem.dtype)) + "_d" + std::to_string(problem.depth);
  launch.symbol = "attention_fused_" + tile;
  launch.header = "attention_fused.cuh";
  launch.min_arch = 80;
  launch.grid = {static_cast<unsigned>(blocks), 1, 1};
  launch.block = {attention_threads, 1, 1};
  // The queries, and two tiles of keys and values.
  launch.shared_bytes = static_cast<unsigned>(5 * attention_keys * problem.depth * 2);
  launch.parameters = bytes_of(params);
  const auto pointer = [&](std::size_t offset, const Matrices& m) {
    launch.pointers.push_back({offset32(offset), m.buffer, m.offset * 2});
  };
  pointer(offsetof(AttentionParams, q), problem.q);
  pointer(offsetof(AttentionParams, k), problem.k);
  pointer(offsetof(AttentionParams, v), problem.v);
  pointer(offsetof(AttentionParams, y), problem.y);
  if (problem.has_mask) pointer(offsetof(AttentionParams, mask), problem.mask);
  return {one_launch(launch, "attention_fused", tile)};
}

}  // namespace alphaflops::cuda
