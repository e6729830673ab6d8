// The rate of mma.sync: a warp's products of operands that stay in registers.
#pragma once

#include "probe_operand.cuh"
#include "probe_params.cuh"
#include "ptx.cuh"

namespace alphaflops::cuda {

template <class Element, class Sum, class Multiply>
AF_DEVICE void probe_mma(const FmaParams& p, Multiply multiply) {
  const unsigned thread = blockIdx.x * probe_threads + threadIdx.x;
  unsigned a[4], b[mma_tiles][2];
  AF_UNROLL
  for (int i = 0; i < 4; ++i) a[i] = probe_operand<Element>(thread * 4 + i);
  AF_UNROLL
  for (int i = 0; i < mma_tiles; ++i) {
    b[i][0] = probe_operand<Element>(thread * 3 + i);
    b[i][1] = probe_operand<Element>(thread * 5 + i);
  }
  Sum sum[mma_tiles][4] = {};
  AF_NO_UNROLL
  for (int n = 0; n < p.iterations; ++n) {
    AF_UNROLL
    for (int i = 0; i < mma_tiles; ++i) multiply(sum[i], a, b[i]);
  }
  Sum total{};
  AF_UNROLL
  for (int i = 0; i < mma_tiles; ++i) total += sum[i][0] + sum[i][1] + sum[i][2] + sum[i][3];
  static_cast<Sum*>(p.output)[thread] = total;
}

#define AF_PROBE_MMA(dtype, Element, Sum, call)                                              \
  AF_KERNEL void __launch_bounds__(probe_threads) probe_mma_##dtype(AF_PARAM FmaParams p) {  \
    probe_mma<Element, Sum>(                                                                 \
        p, [](Sum(&d)[4], const unsigned(&a)[4], const unsigned(&b)[2]) { call(d, a, b); }); \
  }
AF_PROBE_MMA(fp16, half_t, float, multiply_add<half_t>)
AF_PROBE_MMA(int8, signed char, int, multiply_add)
#if AF_ARCH >= 800
AF_PROBE_MMA(bf16, bf16_t, float, multiply_add<bf16_t>)
AF_PROBE_MMA(tf32, float, float, multiply_add<Tf32>)
#endif
#undef AF_PROBE_MMA

}  // namespace alphaflops::cuda
