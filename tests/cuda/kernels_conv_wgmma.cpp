#include "kernel_entry.hpp"
#include "kernels/conv_wgmma_bf16.cuh"
#include "kernels/conv_wgmma_fp16.cuh"
#include "kernels/conv_wgmma_int8.cuh"
#include "kernels/conv_wgmma_tf32.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> conv_wgmma_headers() {
#define X(type, columns, stages, cluster, blocks, access) \
  EMULATE_ENTRY(conv_wgmma_##type##_128x##columns##_s##stages##_c##cluster##_b##blocks##_##access),
  return {{"conv_wgmma_fp16.cuh", {AF_CONV_WGMMA(X, fp16)}},
          {"conv_wgmma_bf16.cuh", {AF_CONV_WGMMA(X, bf16)}},
          {"conv_wgmma_tf32.cuh", {AF_CONV_WGMMA(X, tf32)}},
          {"conv_wgmma_int8.cuh", {AF_CONV_WGMMA(X, int8)}}};
#undef X
}

}  // namespace emulate
