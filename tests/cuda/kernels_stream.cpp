#include "kernel_entry.hpp"
#include "kernels/stream_elementwise.cuh"
#include "kernels/stream_gather.cuh"
#include "kernels/stream_layout.cuh"
#include "kernels/stream_pool.cuh"
#include "kernels/stream_rows.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> stream_headers() {
#define WIDTHS(name) EMULATE_ENTRY(name##_x16), EMULATE_ENTRY(name##_x1)
#define BYTES(name)                                                              \
  EMULATE_ENTRY(name##_b16), EMULATE_ENTRY(name##_b4), EMULATE_ENTRY(name##_b2), \
      EMULATE_ENTRY(name##_b1)
#define ELEMENTWISE(dtype)                                                                        \
  WIDTHS(stream_activation_##dtype), WIDTHS(stream_add_##dtype), WIDTHS(stream_multiply_##dtype), \
      WIDTHS(stream_add_repeated_##dtype), WIDTHS(stream_multiply_repeated_##dtype),              \
      WIDTHS(stream_scale_shift_##dtype)
#define POOL(dtype)                                                     \
  WIDTHS(stream_max_pool_##dtype), WIDTHS(stream_average_pool_##dtype), \
      WIDTHS(stream_global_average_pool_##dtype)
#define ROWS(name)                                                                                 \
  EMULATE_ENTRY(name##_warp_x16), EMULATE_ENTRY(name##_block_x16), EMULATE_ENTRY(name##_long_x16), \
      EMULATE_ENTRY(name##_warp_x1), EMULATE_ENTRY(name##_long_x1)
#define NORMS(dtype)                                                                  \
  ROWS(stream_layer_norm_##dtype), EMULATE_ENTRY(stream_rms_norm_##dtype##_warp_x16), \
      EMULATE_ENTRY(stream_rms_norm_##dtype##_long_x16),                              \
      EMULATE_ENTRY(stream_rms_norm_##dtype##_long_x1), ROWS(stream_softmax_##dtype)
  return {
      {"stream_elementwise.cuh", {ELEMENTWISE(fp32), ELEMENTWISE(fp16), ELEMENTWISE(bf16)}},
      {"stream_pool.cuh", {POOL(fp32), POOL(fp16), POOL(bf16)}},
      {"stream_rows.cuh", {NORMS(fp32), NORMS(fp16), NORMS(bf16)}},
      {"stream_layout.cuh",
       {BYTES(stream_copy_channels), EMULATE_ENTRY(stream_transpose_b4),
        EMULATE_ENTRY(stream_transpose_b2x2), EMULATE_ENTRY(stream_transpose_b2),
        EMULATE_ENTRY(stream_transpose_b1x4), EMULATE_ENTRY(stream_transpose_b1)}},
      {"stream_gather.cuh", {BYTES(stream_copy_axes), BYTES(stream_lookup)}},
  };
#undef NORMS
#undef ROWS
#undef POOL
#undef ELEMENTWISE
#undef BYTES
#undef WIDTHS
}

}  // namespace emulate
