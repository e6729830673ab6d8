// Plans of concatenation copies and of the change between NHWC and NCHW.
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

namespace {

std::vector<Plan> copy_channels(const StreamProblem& problem) {
  const Pool2dShape& s = problem.shape;
  if (problem.out_channel < 0 || problem.out_channels - problem.out_channel < s.channels) {
    throw ShapeError("copy_channels: " + std::to_string(s.channels) + " channels from " +
                     std::to_string(problem.out_channel) + " on do not fit out_channels " +
                     std::to_string(problem.out_channels));
  }
  const std::int64_t element = size_of(problem.dtype);
  const std::int64_t rows = s.batch * s.h_in * s.w_in;
  for (const std::int64_t unit : {16, 4, 2, 1}) {
    if (s.channels * element % unit != 0 || problem.out_channels * element % unit != 0 ||
        problem.out_channel * element % unit != 0) {
      continue;
    }
    CopyParams params{};
    params.units = rows * (s.channels * element / unit);
    const std::int64_t stride = problem.out_channels * element / unit;
    const std::int64_t blocks = blocks_for(params.units, stream_threads * stream_unroll);
    if (stride > most_index || rows > most_index || blocks > most_blocks) return {};
    params.output_stride = static_cast<int>(stride);
    params.output_offset = static_cast<int>(problem.out_channel * element / unit);
    params.by_row = divisor(s.channels * element / unit);
    const std::string name = "b" + std::to_string(unit);
    return {stream_plan(
        problem, stream_launch("stream_copy_channels_" + name, "stream_layout.cuh", blocks, params),
        name)};
  }
  return {};
}

}  // namespace

std::vector<Plan> plan_stream_layout(const StreamProblem& problem, const Target&) {
  if (problem.stream == Stream::copy_channels) return copy_channels(problem);
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
  const std::string name =
      "b" + std::to_string(element) + (pack > 1 ? "x" + std::to_string(pack) : "");
  Launch launch = stream_launch("stream_transpose_" + name, "stream_layout.cuh",
                                across * down * s.batch, params);
  launch.shared_bytes = static_cast<unsigned>(side * (side + 1) * element);
  return {stream_plan(problem, launch, name)};
}

}  // namespace alphaflops::cuda
