#include "kernel_entry.hpp"
#include "kernels/probe.cuh"
#include "kernels/probe_mma.cuh"
#include "kernels/probe_wgmma.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> probe_headers() {
#define PIPES(unit)                                                       \
  EMULATE_ENTRY(probe_##unit##_fp16), EMULATE_ENTRY(probe_##unit##_bf16), \
      EMULATE_ENTRY(probe_##unit##_tf32), EMULATE_ENTRY(probe_##unit##_int8)
  return {{"probe.cuh",
           {EMULATE_ENTRY(probe_fma_fp32), EMULATE_ENTRY(probe_copy_1), EMULATE_ENTRY(probe_copy_4),
            EMULATE_ENTRY(probe_copy_8), EMULATE_ENTRY(probe_read), EMULATE_ENTRY(probe_flush),
            EMULATE_ENTRY(probe_empty), EMULATE_ENTRY(probe_block)}},
          {"probe_mma.cuh", {PIPES(mma)}},
          {"probe_wgmma.cuh", {PIPES(wgmma)}}};
#undef PIPES
}

}  // namespace emulate
