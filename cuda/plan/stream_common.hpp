// What the plans of operators that move data share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "../kernels/stream_params.cuh"
#include "alphaflops/dtype.hpp"
#include "launch.hpp"
#include "problem.hpp"

namespace alphaflops::cuda {

inline constexpr std::int64_t most_blocks = 0x7fffffff;
inline constexpr std::int64_t most_index = 0x7fffffff;  // that a FastDivisor divides

/// Whether the dtype is one that arithmetic is done on: int8 would need a scale.
inline bool is_real(DType dtype) { return dtype != DType::int8; }

/// The name that stream kernels have for a dtype.
inline std::string stream_dtype(DType dtype) {
  return std::string(to_string(dtype == DType::tf32 ? DType::fp32 : dtype));
}

/// The name that kernels which only move bytes have for an access of that many.
inline std::string stream_bytes(std::int64_t bytes) {
  return std::string("b").append(std::to_string(bytes));
}

/// Elements of an access: 16 bytes of them where `size` is a multiple, else one.
inline std::int64_t pack_width(DType dtype, std::int64_t size) {
  const std::int64_t width = 16 / size_of(dtype);
  return size % width == 0 ? width : 1;
}
inline std::string width_suffix(std::int64_t width) { return width == 1 ? "x1" : "x16"; }

inline FastDivisor divisor(std::int64_t by) { return make_divisor(static_cast<unsigned>(by)); }

template <typename Params>
Launch stream_launch(std::string symbol, std::string header, std::int64_t blocks,
                     const Params& params) {
  Launch launch;
  launch.symbol = std::move(symbol);
  launch.header = std::move(header);
  launch.grid = {static_cast<unsigned>(blocks), 1, 1};
  launch.block = {stream_threads, 1, 1};
  launch.parameters = bytes_of(params);
  launch.pointers = {{offsetof(Params, output), Buffer::output}};
  if constexpr (requires { params.input; }) {
    launch.pointers.insert(launch.pointers.begin(), {offsetof(Params, input), Buffer::input});
  }
  return launch;
}

inline Plan stream_plan(const StreamProblem& problem, Launch launch, std::string tile) {
  Plan plan;
  plan.launches.push_back(std::move(launch));
  plan.algorithm = std::string(to_string(problem.stream));
  plan.tile = std::move(tile);
  return plan;
}

inline std::int64_t blocks_for(std::int64_t items, std::int64_t per_block) {
  return (items + per_block - 1) / per_block;
}

}  // namespace alphaflops::cuda
