#include "kernel_entry.hpp"
#include "kernels/conv_igemm_bf16.cuh"
#include "kernels/conv_igemm_fp16.cuh"
#include "kernels/conv_igemm_int8.cuh"
#include "kernels/conv_igemm_tf32.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> conv_igemm_headers() {
#define X(type, rows, columns, depth, warps_m, warps_n, stages, access) \
  EMULATE_ENTRY(conv_igemm_##type##_##rows##x##columns##x##depth##_s##stages##_##access),
  return {{"conv_igemm_fp16.cuh", {AF_CONV_IGEMM_FP16(X) AF_CONV_IGEMM_FP16_SM75(X)}},
          {"conv_igemm_bf16.cuh", {AF_CONV_IGEMM_BF16(X)}},
          {"conv_igemm_tf32.cuh", {AF_CONV_IGEMM_TF32(X)}},
          {"conv_igemm_int8.cuh", {AF_CONV_IGEMM_INT8(X) AF_CONV_IGEMM_INT8_SM75(X)}}};
#undef X
}

}  // namespace emulate
