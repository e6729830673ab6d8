// Plans of concatenations and of the change between NHWC and NCHW.
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

namespace {

static_assert(concat_parts == part_count);

void check_parts(const StreamProblem& problem) {
  std::int64_t channels = 0;
  for (const Part& part : problem.parts) {
    if (part.channels < 1 || part.stride < 0 || part.offset < 0) {
      throw ShapeError("concat: a part has " + std::to_string(part.channels) +
                       " channels, stride " + std::to_string(part.stride) + " and offset " +
                       std::to_string(part.offset) +
                       "; there is at least one channel, and nothing is negative");
    }
    channels += part.channels;
  }
  if (problem.parts.empty() || problem.parts.size() > part_count) {
    throw ShapeError("concat: " + std::to_string(problem.parts.size()) +
                     " parts; one launch copies 1 to " + std::to_string(part_count));
  }
  if (problem.out_channel < 0 || problem.out_channels - problem.out_channel < channels) {
    throw ShapeError("concat: " + std::to_string(channels) + " channels from " +
                     std::to_string(problem.out_channel) + " on do not fit out_channels " +
                     std::to_string(problem.out_channels));
  }
}

/// The most bytes, of 16, 4, 2 and 1, that move as one wherever a row of a part begins and ends.
std::int64_t unit_of(const StreamProblem& problem) {
  const std::int64_t element = size_of(problem.dtype);
  std::int64_t unit = 16;
  const auto fit = [&](std::int64_t elements) {
    while (elements * element % unit != 0) unit = unit == 16 ? 4 : unit / 2;
  };
  fit(problem.out_channels), fit(problem.out_channel);
  for (const Part& part : problem.parts) fit(part.channels), fit(part.stride), fit(part.offset);
  return unit;
}

std::vector<Plan> concat(const StreamProblem& problem) {
  check_parts(problem);
  const Pool2dShape& s = problem.shape;
  const std::int64_t element = size_of(problem.dtype), unit = unit_of(problem);
  const std::int64_t rows = s.batch * s.h_in * s.w_in;
  const std::int64_t stride = problem.out_channels * element / unit;
  if (stride > most_index || rows > most_index) return {};
  ConcatParams params{};
  params.output_stride = static_cast<int>(stride);
  std::vector<Pointer> pointers;
  std::int64_t blocks = 0, column = problem.out_channel;
  for (std::size_t i = 0; i < concat_parts; ++i) {
    ConcatPart& to = params.part[i];
    to.first_block = static_cast<unsigned>(most_blocks);
    if (i >= problem.parts.size()) continue;
    const Part& from = problem.parts[i];
    const std::int64_t row = from.channels * element / unit;
    to.units = rows * row;
    to.stride = from.stride * element / unit;
    to.by_row = divisor(row);
    to.first_column = static_cast<int>(column * element / unit);
    to.first_block = static_cast<unsigned>(blocks);
    blocks += blocks_for(to.units, stream_threads * stream_unroll);
    column += from.channels;
    if (blocks >= most_blocks) return {};
    pointers.push_back(
        {static_cast<std::uint32_t>(offsetof(ConcatParams, part) + i * sizeof(ConcatPart) +
                                    offsetof(ConcatPart, input)),
         part_buffer(static_cast<int>(i)), from.offset * element});
  }
  const std::string name = stream_bytes(unit);
  Launch launch = stream_launch("stream_concat_" + name, "stream_layout.cuh", blocks, params);
  launch.pointers.insert(launch.pointers.end(), pointers.begin(), pointers.end());
  return {stream_plan(problem, launch, name)};
}

}  // namespace

std::vector<Plan> plan_stream_layout(const StreamProblem& problem, const Target&) {
  if (problem.stream == Stream::concat) return concat(problem);
  if (problem.stream != Stream::to_nchw && problem.stream != Stream::to_nhwc) return {};
  const Pool2dShape& s = problem.shape;
  const std::int64_t pixels = s.h_in * s.w_in;
  const std::int64_t rows = problem.stream == Stream::to_nchw ? pixels : s.channels;
  const std::int64_t columns = problem.stream == Stream::to_nchw ? s.channels : pixels;
  const std::int64_t element = size_of(problem.dtype);
  std::int64_t pack = 4 / element;
  if (rows % pack != 0 || columns % pack != 0) pack = 1;
  const std::int64_t side = 32 * pack;
  const std::int64_t across = blocks_for(columns, side), down = blocks_for(rows, side);
  if (rows > most_index / 2 || columns > most_index / 2 || across * down * s.batch > most_blocks) {
    return {};
  }
  TransposeParams params{};
  params.rows = static_cast<int>(rows), params.columns = static_cast<int>(columns);
  params.by_across = divisor(across), params.by_image = divisor(across * down);
  std::string name = stream_bytes(element);
  if (pack > 1) name.append("x").append(std::to_string(pack));
  Launch launch = stream_launch("stream_transpose_" + name, "stream_layout.cuh",
                                across * down * s.batch, params);
  launch.shared_bytes = static_cast<unsigned>(side * (side + 1) * element);
  return {stream_plan(problem, launch, name)};
}

}  // namespace alphaflops::cuda
