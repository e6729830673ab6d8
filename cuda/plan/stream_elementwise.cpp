// Plans of elementwise operators.
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

std::vector<Plan> plan_stream_elementwise(const StreamProblem& problem, const Target&) {
  const Stream kind = problem.stream;
  const bool two = kind == Stream::add || kind == Stream::multiply;
  const bool scaled = kind == Stream::scale_shift;
  if (!is_real(problem.dtype) || !(two || scaled || kind == Stream::activation)) return {};
  const Pool2dShape& s = problem.shape;
  const Repetition& second = problem.second;
  const bool repeats = two && second.length > 0;
  const std::int64_t elements = s.batch * s.h_in * s.w_in * s.channels;
  if (repeats && elements % (second.blocks * second.repeats * second.length) != 0) {
    throw ShapeError(std::string(to_string(kind)) + ": " + std::to_string(elements) +
                     " elements are no multiple of second_blocks " + std::to_string(second.blocks) +
                     " x second_repeats " + std::to_string(second.repeats) + " x second_length " +
                     std::to_string(second.length));
  }
  const bool has_function = !repeats && kind != Stream::multiply;
  if (!has_function && problem.function != Function::none) return {};
  const std::int64_t row = repeats ? second.length : s.channels;  // that is divided by
  const std::int64_t width = pack_width(problem.dtype, scaled || repeats ? row : elements);
  ElementwiseParams params{};
  params.packs = elements / width;
  params.activation = static_cast<int>(problem.function);
  params.by_channel_packs = divisor(scaled || repeats ? row / width : 1);
  params.by_repeats = divisor(second.repeats), params.by_blocks = divisor(second.blocks);
  const std::int64_t blocks = blocks_for(params.packs, stream_threads * stream_unroll);
  if (blocks > most_blocks || elements / row > most_index) return {};
  Launch launch =
      stream_launch("stream_" + std::string(to_string(kind)) + (repeats ? "_repeated_" : "_") +
                        stream_dtype(problem.dtype) + "_" + width_suffix(width),
                    "stream_elementwise.cuh", blocks, params);
  if (two) {
    launch.pointers.push_back({offsetof(ElementwiseParams, second), Buffer::second_input});
  }
  if (scaled) {
    launch.pointers.push_back({offsetof(ElementwiseParams, weights), Buffer::weights});
    launch.pointers.push_back({offsetof(ElementwiseParams, bias), Buffer::bias});
  }
  return {stream_plan(problem, launch, width_suffix(width) + (repeats ? "_repeated" : ""))};
}

}  // namespace alphaflops::cuda
