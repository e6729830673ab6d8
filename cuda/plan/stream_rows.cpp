// Plans of layer norm and softmax, over the channels of each pixel.
#include <string>
#include <vector>

#include "stream_common.hpp"

namespace alphaflops::cuda {

std::vector<Plan> plan_stream_rows(const StreamProblem& problem, const Target&) {
  const bool norm = problem.stream == Stream::layer_norm;
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

  // A warp has a row where its registers hold it, or where a scalar loop is short.
  const std::int64_t packs = s.channels / width;
  std::string form = "long";
  if (packs <= 32 * (width == 1 ? std::int64_t{16} : row_warp_packs)) {
    form = "warp";
  } else if (width > 1 && packs <= stream_threads * row_block_packs) {
    form = "block";
  }
  const std::int64_t block_rows = form == "warp" ? stream_threads / 32 : 1;
  const std::string tile = form + "_" + width_suffix(width);
  Launch launch = stream_launch("stream_" + std::string(to_string(problem.stream)) + "_" +
                                    stream_dtype(problem.dtype) + "_" + tile,
                                "stream_rows.cuh", blocks_for(rows, block_rows), params);
  launch.shared_bytes = stream_threads / 32 * sizeof(float);
  if (norm) {
    launch.pointers.push_back({offsetof(RowParams, weights), Buffer::weights});
    launch.pointers.push_back({offsetof(RowParams, bias), Buffer::bias});
  }
  return {stream_plan(problem, launch, tile)};
}

}  // namespace alphaflops::cuda
