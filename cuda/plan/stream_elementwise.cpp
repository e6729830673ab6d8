// Plans of elementwise operators.
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

namespace {

bool is_sum(Stream kind) {
  return kind == Stream::add || kind == Stream::subtract || kind == Stream::subtract_from;
}
bool is_product(Stream kind) { return kind == Stream::multiply || kind == Stream::divide; }

/// Whether a kernel applies it at last.
bool applies(Function function, Stream kind, bool repeats) {
  if (function == Function::none || kind == Stream::activation) return true;
  return !repeats && !is_product(kind) && function <= Function::leaky_relu;
}

}  // namespace

std::vector<Plan> plan_stream_elementwise(const StreamProblem& problem, const Target&) {
  const Stream kind = problem.stream;
  const bool two = is_sum(kind) || is_product(kind);
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
  if (!applies(problem.function, kind, repeats)) return {};
  const std::int64_t row = repeats ? second.length : s.channels;  // that is divided by
  const std::int64_t width = pack_width(problem.dtype, scaled || repeats ? row : elements);
  ElementwiseParams params{};
  params.packs = elements / width;
  params.activation = static_cast<int>(problem.function);
  params.sign = kind == Stream::subtract_from ? -1.0F : 1.0F;
  params.second_sign = kind == Stream::subtract ? -1.0F : 1.0F;
  params.divides = kind == Stream::divide ? 1 : 0;
  params.by_channel_packs = divisor(scaled || repeats ? row / width : 1);
  params.by_repeats = divisor(second.repeats), params.by_blocks = divisor(second.blocks);
  const std::int64_t blocks = blocks_for(params.packs, stream_threads * stream_unroll);
  if (blocks > most_blocks || elements / row > most_index) return {};
  const std::string name(is_sum(kind) ? "add" : is_product(kind) ? "multiply" : to_string(kind));
  Launch launch = stream_launch("stream_" + name + (repeats ? "_repeated_" : "_") +
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
