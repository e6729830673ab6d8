#include "kernel_entry.hpp"
#include "kernels/conv_wgrad_fp32.cuh"
#include "kernels/conv_wgrad_half.cuh"
#include "kernels/conv_wgrad_tf32.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> conv_wgrad_headers() {
#define X(type, rows, columns, depth, warps_m, warps_n, stages, access) \
  EMULATE_ENTRY(conv_wgrad_##type##_##rows##x##columns##x##depth##_s##stages##_##access),
#define X_FP32(rows, columns, depth, access) \
  EMULATE_ENTRY(conv_wgrad_fp32_##rows##x##columns##x##depth##_##access),
  return {{"conv_wgrad_half.cuh",
           {AF_CONV_WGRAD_FP16(X) AF_CONV_WGRAD_FP16_SM75(X) AF_CONV_WGRAD_BF16(X)}},
          {"conv_wgrad_tf32.cuh", {AF_CONV_WGRAD_TF32(X)}},
          {"conv_wgrad_fp32.cuh", {AF_CONV_WGRAD_FP32(X_FP32)}}};
#undef X_FP32
#undef X
}

}  // namespace emulate
