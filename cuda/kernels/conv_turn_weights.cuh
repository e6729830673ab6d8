// Weights [group][c_out][tap][c_in] to [group][c_in][tap][c_out], for the gradient of the input.
#pragma once

#include "conv_turn_weights_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

template <class T>
AF_DEVICE void conv_turn_weights(const ConvTurnWeightsParams& p) {
  constexpr int pitch = turn_tile + 1;
  T* tile = static_cast<T*>(af_dynamic_shared());
  const int x = static_cast<int>(threadIdx.x), y0 = static_cast<int>(threadIdx.y);
  const int group = static_cast<int>(blockIdx.z) / p.taps,
            tap = static_cast<int>(blockIdx.z) % p.taps;
  const int c_in0 = static_cast<int>(blockIdx.x) * turn_tile;
  const int c_out0 = static_cast<int>(blockIdx.y) * turn_tile;
  const long long base = static_cast<long long>(group) * p.c_out * p.taps * p.c_in;
  const T* from = static_cast<const T*>(p.input) + base;
  T* to = static_cast<T*>(p.output) + base;
  AF_UNROLL
  for (int i = 0; i < turn_tile; i += turn_rows) {
    const int c_out = c_out0 + y0 + i, c_in = c_in0 + x;
    if (c_out < p.c_out && c_in < p.c_in) {
      tile[(y0 + i) * pitch + x] =
          from[(static_cast<long long>(c_out) * p.taps + tap) * p.c_in + c_in];
    }
  }
  __syncthreads();
  AF_UNROLL
  for (int i = 0; i < turn_tile; i += turn_rows) {
    const int c_in = c_in0 + y0 + i, c_out = c_out0 + x;
    if (c_out < p.c_out && c_in < p.c_in) {
      to[(static_cast<long long>(c_in) * p.taps + tap) * p.c_out + c_out] =
          tile[x * pitch + y0 + i];
    }
  }
}

}  // namespace alphaflops::cuda

#define AF_CONV_TURN_KERNEL(bits, T)                                                         \
  AF_KERNEL void __launch_bounds__(alphaflops::cuda::turn_tile* alphaflops::cuda::turn_rows) \
      conv_turn_weights_##bits(AF_PARAM alphaflops::cuda::ConvTurnWeightsParams p) {         \
    alphaflops::cuda::conv_turn_weights<T>(p);                                               \
  }
AF_CONV_TURN_KERNEL(16, unsigned short)
AF_CONV_TURN_KERNEL(32, unsigned)
