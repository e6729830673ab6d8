// Plans of pooling.
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

namespace {

std::vector<Plan> global_pool(const StreamProblem& problem) {
  const Pool2dShape& s = problem.shape;
  const std::int64_t pixels = s.h_in * s.w_in;
  const std::int64_t width = pack_width(problem.dtype, s.channels);
  const std::int64_t across = blocks_for(s.channels, pool_lanes * width);
  if (pixels > most_index || s.channels > most_index || across * s.batch > most_blocks) return {};
  GlobalPoolParams params{};
  params.pixels = static_cast<int>(pixels);
  params.channels = static_cast<int>(s.channels);
  params.scale = 1.0F / static_cast<float>(pixels);
  params.by_blocks = divisor(across);
  Launch launch = stream_launch(
      "stream_global_average_pool_" + stream_dtype(problem.dtype) + "_" + width_suffix(width),
      "stream_pool.cuh", across * s.batch, params);
  launch.shared_bytes = static_cast<unsigned>(stream_threads * width * 4);
  return {stream_plan(problem, launch, width_suffix(width))};
}

}  // namespace

std::vector<Plan> plan_stream_pool(const StreamProblem& problem, const Target&) {
  if (!is_real(problem.dtype)) return {};
  if (problem.stream == Stream::global_average_pool) return global_pool(problem);
  if (problem.stream != Stream::max_pool && problem.stream != Stream::average_pool) return {};
  const Pool2dShape& s = problem.shape;
  const bool dilated = problem.dilation_h != 1 || problem.dilation_w != 1;
  if (dilated && problem.stream != Stream::max_pool) return {};
  if (problem.dilation_h < 1 || problem.dilation_w < 1) {
    throw ShapeError(std::string(to_string(problem.stream)) + ": dilation is " +
                     std::to_string(problem.dilation_h) + " x " +
                     std::to_string(problem.dilation_w) + "; both must be at least 1");
  }
  Pool2dShape reach = s;  // from the first tap of a window to its last
  reach.k_h = (s.k_h - 1) * problem.dilation_h + 1;
  reach.k_w = (s.k_w - 1) * problem.dilation_w + 1;
  const std::int64_t h_out = reach.h_out(), w_out = reach.w_out();
  const std::int64_t width = pack_width(problem.dtype, s.channels);
  for (const std::int64_t size :
       {s.batch * h_out * w_out, s.h_in + s.pad_top + s.pad_bottom + reach.k_h + s.stride_h,
        s.w_in + s.pad_left + s.pad_right + reach.k_w + s.stride_w, s.channels, s.k_h * s.k_w,
        problem.dilation_h, problem.dilation_w}) {
    if (size > most_index / 2) return {};
  }
  PoolParams params{};
  params.packs = s.batch * h_out * w_out * (s.channels / width);
  params.h_in = int_of(s.h_in), params.w_in = int_of(s.w_in);
  params.h_out = int_of(h_out), params.w_out = int_of(w_out);
  params.channels = int_of(s.channels);
  params.k_h = int_of(s.k_h), params.k_w = int_of(s.k_w);
  params.dilation_h = int_of(problem.dilation_h), params.dilation_w = int_of(problem.dilation_w);
  params.stride_h = int_of(s.stride_h), params.stride_w = int_of(s.stride_w);
  params.pad_top = int_of(s.pad_top), params.pad_left = int_of(s.pad_left);
  params.padded_h = int_of(s.h_in + s.pad_bottom), params.padded_w = int_of(s.w_in + s.pad_right);
  params.count_padding = s.count_include_pad ? 1 : 0;
  params.by_channel_packs = divisor(s.channels / width);
  params.by_w_out = divisor(w_out), params.by_h_out = divisor(h_out);
  const std::int64_t blocks = blocks_for(params.packs, stream_threads);
  if (blocks > most_blocks) return {};
  const Launch launch = stream_launch("stream_" + std::string(to_string(problem.stream)) +
                                          (dilated ? "_dilated_" : "_") +
                                          stream_dtype(problem.dtype) + "_" + width_suffix(width),
                                      "stream_pool.cuh", blocks, params);
  return {stream_plan(problem, launch, width_suffix(width))};
}

}  // namespace alphaflops::cuda
