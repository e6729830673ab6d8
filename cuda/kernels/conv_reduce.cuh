// The second step of a product whose depth was split: adds the parts in order, so that the result
// does not depend on timing, then bias and activation.
#pragma once

#include "accumulate.cuh"
#include "conv_igemm_params.cuh"

namespace alphaflops::cuda {

template <class Stored>
AF_DEVICE void conv_reduce(const ConvReduceParams& p) {
  using A = Arithmetic<Stored>;
  using Sum = typename A::Sum;
  using Output = typename A::Output;
  unsigned channel = blockIdx.x * blockDim.x + threadIdx.x;
  const unsigned total =
      static_cast<unsigned>(p.map.phase_count * p.map.rows) * p.by_channels_out.divisor;
  if (channel >= total) return;
  const auto* from = static_cast<const Sum*>(p.partials) + channel;
  unsigned row = divide_keep(channel, p.by_channels_out);
  const unsigned phase = divide_keep(row, p.by_rows);
  const long long at = result_offset(p.map, p.map.phases[phase], static_cast<int>(row));
  if (at < 0) return;
  Sum sum = 0;
  for (int i = 0; i < p.splits; ++i) sum += from[static_cast<long long>(i) * total];
  if (p.bias != nullptr) sum += static_cast<const Sum*>(p.bias)[channel];
  static_cast<Output*>(p.output)[at + channel] = A::narrow(activate(sum, p.activation));
}

}  // namespace alphaflops::cuda

#define AF_CONV_REDUCE_KERNEL(type, T)                                    \
  AF_KERNEL void __launch_bounds__(256)                                   \
      conv_reduce_##type(AF_PARAM alphaflops::cuda::ConvReduceParams p) { \
    using namespace alphaflops::cuda;                                     \
    conv_reduce<T>(p);                                                    \
  }
AF_CONV_REDUCE_KERNEL(fp32, float)
AF_CONV_REDUCE_KERNEL(fp16, half_t)
AF_CONV_REDUCE_KERNEL(bf16, bf16_t)
AF_CONV_REDUCE_KERNEL(int8, signed char)
