#include "kernel_entry.hpp"
#include "kernels/conv_reduce.cuh"
#include "kernels/conv_simt.cuh"
#include "kernels/conv_turn_weights.cuh"
#include "kernels/conv_winograd.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> conv_simt_headers() {
#define X(rows, columns, depth, access) \
  EMULATE_ENTRY(conv_simt_fp32_##rows##x##columns##x##depth##_##access),
  return {{"conv_simt.cuh", {AF_CONV_SIMT(X)}},
          {"conv_reduce.cuh",
           {EMULATE_ENTRY(conv_reduce_fp32), EMULATE_ENTRY(conv_reduce_fp16),
            EMULATE_ENTRY(conv_reduce_bf16), EMULATE_ENTRY(conv_reduce_int8)}},
          {"conv_turn_weights.cuh",
           {EMULATE_ENTRY(conv_turn_weights_16), EMULATE_ENTRY(conv_turn_weights_32)}},
          {"conv_winograd.cuh",
           {EMULATE_ENTRY(winograd_weights_fp32), EMULATE_ENTRY(winograd_input_fp32),
            EMULATE_ENTRY(winograd_output_fp32)}}};
#undef X
}

}  // namespace emulate
