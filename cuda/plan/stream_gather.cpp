// Plans of copies by index.
#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

namespace {

/// The most bytes that move as one: 16 where all of these fill them, else what an element has.
std::int64_t unit_of(DType dtype, const std::vector<std::int64_t>& sizes) {
  const std::int64_t element = size_of(dtype);
  const bool fill =
      std::ranges::all_of(sizes, [element](std::int64_t size) { return size * element % 16 == 0; });
  return fill ? 16 : element;
}

std::vector<Plan> copy_axes_plan(const StreamProblem& problem) {
  const Axes& axes = problem.axes;
  constexpr std::size_t last = copy_rank - 1;
  std::int64_t elements = 1, rows = 1;
  std::vector<std::int64_t> pieces{axes.size[last], axes.extent[last], axes.offset};
  for (std::size_t i = 0; i <= last; ++i) {
    const bool fits = axes.size[i] >= 1 && axes.extent[i] >= 1 && axes.size[i] <= most_index / 2 &&
                      axes.extent[i] <= most_index / 2 && axes.shift[i] >= 0 &&
                      axes.shift[i] < axes.extent[i];
    if (!fits || (axes.shift[i] > 0 && axes.size[i] > axes.extent[i])) {
      throw ShapeError("copy_axes: axis " + std::to_string(i) + " has size " +
                       std::to_string(axes.size[i]) + ", extent " + std::to_string(axes.extent[i]) +
                       " and shift " + std::to_string(axes.shift[i]) +
                       "; sizes are at least 1, a shift is below the extent, and what it moves no "
                       "larger");
    }
    elements *= axes.size[i];
    if (i < last) rows *= axes.size[i], pieces.push_back(axes.stride[i]);
  }
  std::int64_t unit = size_of(problem.dtype);
  if (axes.stride[last] == 1 && axes.shift[last] == 0) unit = unit_of(problem.dtype, pieces);
  const std::int64_t pack = unit / size_of(problem.dtype);
  CopyAxesParams params{};
  params.units = elements / pack;
  for (std::size_t i = 0; i <= last; ++i) {
    const std::int64_t by = i == last ? pack : 1;
    params.stride[i] = i == last ? axes.stride[i] : axes.stride[i] / pack;
    params.shift[i] = static_cast<int>(axes.shift[i]);
    params.extent[i] = static_cast<int>(axes.extent[i] / by);
    params.by_size[i] = divisor(axes.size[i] / by);
  }
  const std::int64_t blocks = blocks_for(params.units, stream_threads * stream_unroll);
  if (rows > most_index || blocks > most_blocks) return {};
  const std::string name = stream_bytes(unit);
  Launch launch = stream_launch("stream_copy_axes_" + name, "stream_gather.cuh", blocks, params);
  launch.pointers[0].byte_offset = axes.offset * size_of(problem.dtype);
  return {stream_plan(problem, launch, name)};
}

std::vector<Plan> lookup_plan(const StreamProblem& problem) {
  const Pool2dShape& s = problem.shape;
  const std::int64_t indices = s.batch * s.h_in * s.w_in;
  if (problem.table_rows < 1) {
    throw ShapeError("lookup: table_rows " + std::to_string(problem.table_rows) +
                     " must be at least 1");
  }
  const std::int64_t unit = unit_of(problem.dtype, {s.channels});
  const std::int64_t row_packs = s.channels * size_of(problem.dtype) / unit;
  LookupParams params{};
  params.packs = indices * row_packs;
  const std::int64_t blocks = blocks_for(params.packs, stream_threads * stream_unroll);
  if (indices > most_index || row_packs > most_index || problem.table_rows > most_index ||
      blocks > most_blocks) {
    return {};
  }
  params.row_packs = static_cast<int>(row_packs);
  params.by_row_packs = divisor(row_packs);
  params.by_rows = divisor(problem.table_rows);
  const std::string name = stream_bytes(unit);
  Launch launch = stream_launch("stream_lookup_" + name, "stream_gather.cuh", blocks, params);
  launch.pointers.push_back({offsetof(LookupParams, weights), Buffer::weights});
  return {stream_plan(problem, launch, name)};
}

}  // namespace

std::vector<Plan> plan_stream_gather(const StreamProblem& problem, const Target&) {
  if (problem.stream == Stream::copy_axes) return copy_axes_plan(problem);
  if (problem.stream == Stream::lookup) return lookup_plan(problem);
  return {};
}

}  // namespace alphaflops::cuda
