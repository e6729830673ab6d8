#include "kernel_entry.hpp"
#include "kernels/attention_fused.cuh"
#include "kernels/matmul_fp32.cuh"
#include "kernels/matmul_half.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> matmul_headers() {
#define X(type, rows, columns, depth, warps_m, warps_n, stages, access, form) \
  EMULATE_ENTRY(matmul_##type##_##rows##x##columns##x##depth##_s##stages##_##access##_##form),
#define X_FP32(rows, columns, depth, access, form) \
  EMULATE_ENTRY(matmul_fp32_##rows##x##columns##x##depth##_##access##_##form),
#define FUSED(type, depth) EMULATE_ENTRY(attention_fused_##type##_d##depth),
  return {{"matmul_half.cuh", {AF_MATMUL_FP16(X) AF_MATMUL_FP16_SM75(X) AF_MATMUL_BF16(X)}},
          {"matmul_fp32.cuh", {AF_MATMUL_FP32(X_FP32) AF_MATMUL_TF32(X)}},
          {"attention_fused.cuh", {AF_ATTENTION(FUSED)}}};
#undef FUSED
#undef X_FP32
#undef X
}

}  // namespace emulate
