#include "kernel_entry.hpp"
#include "kernels/recurrent.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> recurrent_headers() {
#define RECURRENT(dtype)                                                                         \
  EMULATE_ENTRY(recurrent_step_##dtype##_x16_r8), EMULATE_ENTRY(recurrent_step_##dtype##_x1_r1), \
      EMULATE_ENTRY(recurrent_cell_##dtype)
  return {{"recurrent.cuh", {RECURRENT(fp32), RECURRENT(fp16), RECURRENT(bf16)}}};
#undef RECURRENT
}

}  // namespace emulate
