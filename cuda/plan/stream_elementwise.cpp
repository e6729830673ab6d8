// Plans of elementwise operators.
#include <string>
#include <vector>

#include "stream_common.hpp"

namespace alphaflops::cuda {

std::vector<Plan> plan_stream_elementwise(const StreamProblem& problem, const Target&) {
  const Stream kind = problem.stream;
  const bool two = kind == Stream::add || kind == Stream::multiply;
  const bool scaled = kind == Stream::scale_shift;
  if (!is_real(problem.dtype) || !(two || scaled || kind == Stream::activation)) return {};
  const Pool2dShape& s = problem.shape;
  const std::int64_t elements = s.batch * s.h_in * s.w_in * s.channels;
  const std::int64_t width = pack_width(problem.dtype, scaled ? s.channels : elements);
  ElementwiseParams params{};
  params.packs = elements / width;
  params.activation = static_cast<int>(problem.activation);
  params.by_channel_packs = divisor(scaled ? s.channels / width : 1);
  const std::int64_t blocks = blocks_for(params.packs, stream_threads * stream_unroll);
  if (blocks > most_blocks || elements / s.channels > most_index) return {};
  Launch launch = stream_launch("stream_" + std::string(to_string(kind)) + "_" +
                                    stream_dtype(problem.dtype) + "_" + width_suffix(width),
                                "stream_elementwise.cuh", blocks, params);
  if (two) {
    launch.pointers.push_back({offsetof(ElementwiseParams, second), Buffer::second_input});
  }
  if (scaled) {
    launch.pointers.push_back({offsetof(ElementwiseParams, weights), Buffer::weights});
    launch.pointers.push_back({offsetof(ElementwiseParams, bias), Buffer::bias});
  }
  return {stream_plan(problem, launch, width_suffix(width))};
}

}  // namespace alphaflops::cuda
