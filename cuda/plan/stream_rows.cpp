// Plans of norms and softmax over the channels of each pixel.
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

std::vector<Plan> plan_stream_rows(const StreamProblem& problem, const Target&) {
  const bool layer = problem.stream == Stream::layer_norm;
  const bool norm = layer || problem.stream == Stream::rms_norm;
  if (!is_real(problem.dtype) || !(norm || problem.stream == Stream::softmax)) return {};
  const Pool2dShape& s = problem.shape;
  const std::int64_t rows = s.batch * s.h_in * s.w_in;
  const std::int64_t width = pack_width(problem.dtype, s.channels);
  if (rows > most_index || s.channels > most_index / 2) return {};
  RowParams params{};
  params.rows = static_cast<int>(rows);
  params.columns = static_cast<int>(s.channels);
  params.inverse_columns = 1.0F / static_cast<float>(s.channels);
  params.epsilon = problem.epsilon;
  params.scale = problem.scale;
  params.by_length = divisor(1);
  if (problem.causal_rows > 0 || problem.softmax_columns > 0) {
    const std::int64_t counted = problem.softmax_columns > 0 ? problem.softmax_columns : s.channels;
    const std::int64_t length = std::max<std::int64_t>(problem.causal_rows, 1);
    if (counted > s.channels || length > counted) {
      throw ShapeError("softmax: of " + std::to_string(s.channels) + " columns, softmax_columns " +
                       std::to_string(counted) + " and causal_rows " + std::to_string(length) +
                       " leave rows without any");
    }
    params.first_columns = static_cast<int>(counted - length + 1);
    params.by_length = divisor(length);
  }
  const SoftmaxMask& mask = problem.mask;
  const bool masked = problem.stream == Stream::softmax && mask.rows > 0;
  if (masked && width == 1) return {};  // rows of scores always fill pieces
  params.mask_outer = mask.at.outer, params.mask_inner = mask.at.inner;
  params.mask_row = mask.at.row;
  params.by_rows = divisor(std::max<std::int64_t>(mask.rows, 1));
  params.by_heads = divisor(mask.inner);

  // A warp has a row where its registers hold it, or where a scalar loop is short.
  const std::int64_t packs = s.channels / width;
  const bool few_forms = problem.stream == Stream::rms_norm || masked;
  std::string form = "long";
  if (packs <= 32 * (width > 1 ? row_warp_packs : few_forms ? 0 : std::int64_t{16})) {
    form = "warp";
  } else if (!few_forms && width > 1 && packs <= stream_threads * row_block_packs) {
    form = "block";
  }
  const std::int64_t block_rows = form == "warp" ? stream_threads / 32 : 1;
  const std::string tile = form + "_" + width_suffix(width);
  Launch launch = stream_launch("stream_" + std::string(masked ? "masked_" : "") +
                                    std::string(to_string(problem.stream)) + "_" +
                                    stream_dtype(problem.dtype) + "_" + tile,
                                "stream_rows.cuh", blocks_for(rows, block_rows), params);
  launch.shared_bytes = stream_threads / 32 * sizeof(float);
  if (norm) {
    launch.pointers.push_back({offsetof(RowParams, weights), Buffer::weights});
  }
  if (masked) {
    launch.pointers.push_back({offsetof(RowParams, mask), Buffer::mask,
                               mask.at.offset * static_cast<std::int64_t>(size_of(problem.dtype))});
  }
  if (layer) launch.pointers.push_back({offsetof(RowParams, bias), Buffer::bias});
  return {stream_plan(problem, launch, tile)};
}

}  // namespace alphaflops::cuda
