// Gradients of depthwise convolution. That of the input for a stride of 1 is conv_depthwise's, with
// the taps in reverse.
#pragma once

#include "conv_depthwise_grad_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

// dx[y][x] = sum over taps of dy[(y + pad - r * dilation) / stride][...] w[r][s], where that is
// whole.
template <class T>
AF_DEVICE void depthwise_input_grad(const DepthwiseInputGradParams& p) {
  constexpr int width = depthwise_grad_width;
  const ConvGeometry& g = p.conv;
  const long long first = static_cast<long long>(blockIdx.x) * depthwise_grad_threads;
  if (first + threadIdx.x >= p.items) return;
  const Split at = split(first, threadIdx.x, p.by_channel_packs);
  const int channel = static_cast<int>(at.remainder) * width;
  unsigned column = at.quotient;
  unsigned row = divide_keep(column, p.by_w_in);
  const int image = static_cast<int>(divide_keep(row, p.by_h_in));
  const T* weights = static_cast<const T*>(p.weights) + channel * (g.k_h * g.k_w);
  float sum[width] = {};
  for (int r = 0; r < g.k_h; ++r) {
    const int y = static_cast<int>(row) + g.pad_top - r * g.dilation_h;
    if (y < 0) break;
    unsigned rest = static_cast<unsigned>(y);
    const int out_row = static_cast<int>(divide_keep(rest, p.by_stride_h));
    if (rest != 0 || out_row >= g.h_out) continue;
    for (int s = 0; s < g.k_w; ++s) {
      const int x = static_cast<int>(column) + g.pad_left - s * g.dilation_w;
      if (x < 0) break;
      rest = static_cast<unsigned>(x);
      const int out_column = static_cast<int>(divide_keep(rest, p.by_stride_w));
      if (rest != 0 || out_column >= g.w_out) continue;
      const auto dy = load<T, width>(static_cast<const T*>(p.output_gradient) +
                                     output_pixel(g, image, out_row, out_column) + channel);
      AF_UNROLL
      for (int k = 0; k < width; ++k) {
        sum[k] += to_float(dy.element[k]) * to_float(weights[(k * g.k_h + r) * g.k_w + s]);
      }
    }
  }
  Pack<T, width> out;
  AF_UNROLL
  for (int k = 0; k < width; ++k) out.element[k] = from_float<T>(sum[k]);
  store<T, width>(static_cast<T*>(p.output) + (first + threadIdx.x) * width, out);
}

// dw[r][s] = sum over pixels of dy[p][q] x[p * stride - pad + r * dilation][...], `taps` of them
// side by side. A warp has lanes across channels and its others across pixels.
template <class T, int taps>
AF_DEVICE void depthwise_weight_grad(const DepthwiseWeightGradParams& p) {
  constexpr int width = depthwise_grad_width;
  constexpr int warps = depthwise_grad_threads / 32;
  const ConvGeometry& g = p.conv;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int block_channels = p.lanes * width;
  const int first_channel = static_cast<int>(blockIdx.y) * block_channels;
  const int channel = first_channel + lane % p.lanes * width;
  const int r = static_cast<int>(blockIdx.z) / p.taps_of_row;
  const int first_tap = static_cast<int>(blockIdx.z) % p.taps_of_row * taps;

  float sum[taps][width] = {};
  const int begin = static_cast<int>(blockIdx.x) * p.run;
  const int end = min(begin + p.run, p.pixels);
  const int step = depthwise_grad_threads / p.lanes;
  for (int i = begin + static_cast<int>(threadIdx.x) / p.lanes; i < end; i += step) {
    if (channel >= g.c_in) break;
    unsigned column = static_cast<unsigned>(i);
    unsigned row = divide_keep(column, p.by_w_out);
    const int image = static_cast<int>(divide_keep(row, p.by_h_out));
    const int y = input_row(g, static_cast<int>(row), r);
    if (!inside(y, g.h_in)) continue;
    const auto dy = load<T, width>(static_cast<const T*>(p.output_gradient) +
                                   static_cast<long long>(i) * g.c_out + channel);
    AF_UNROLL
    for (int s = 0; s < taps; ++s) {
      const int x = input_column(g, static_cast<int>(column), first_tap + s);
      if (!inside(x, g.w_in)) continue;
      const auto from =
          load<T, width>(static_cast<const T*>(p.input) + input_pixel(g, image, y, x) + channel);
      AF_UNROLL
      for (int k = 0; k < width; ++k) {
        sum[s][k] += to_float(dy.element[k]) * to_float(from.element[k]);
      }
    }
  }

  float* partial = static_cast<float*>(af_dynamic_shared());  // [warp][tap][channel]
  AF_UNROLL
  for (int s = 0; s < taps; ++s) {
    AF_UNROLL
    for (int k = 0; k < width; ++k) {
      float value = sum[s][k];
      for (int bits = p.lanes; bits < 32; bits *= 2) {
        value += __shfl_xor_sync(0xffffffffu, value, bits);
      }
      if (lane < p.lanes) partial[(warp * taps + s) * block_channels + lane * width + k] = value;
    }
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < taps * block_channels;
       i += depthwise_grad_threads) {
    const int to_channel = first_channel + i % block_channels;
    const int tap = r * g.k_w + first_tap + i / block_channels;
    if (to_channel >= g.c_in) continue;
    float total = 0.0f;
    AF_UNROLL
    for (int w = 0; w < warps; ++w) total += partial[w * taps * block_channels + i];
    static_cast<float*>(
        p.partials)[(static_cast<long long>(blockIdx.x) * g.k_h * g.k_w + tap) * g.c_in +
                    to_channel] = total;
  }
}

template <class T>
AF_DEVICE void depthwise_reduce(const DepthwiseReduceParams& p) {
  const unsigned item = blockIdx.x * depthwise_grad_threads + threadIdx.x;
  const unsigned items = static_cast<unsigned>(p.taps * p.channels);
  if (item >= items) return;
  const float* from = static_cast<const float*>(p.partials) + item;
  float sum = 0.0f;
  for (int i = 0; i < p.runs; ++i) sum += from[static_cast<long long>(i) * items];
  unsigned channel = item;
  const unsigned tap = divide_keep(channel, p.by_channels);
  static_cast<T*>(p.output)[channel * static_cast<unsigned>(p.taps) + tap] = from_float<T>(sum);
}

#define AF_WEIGHT_GRAD(dtype, T, taps)                                               \
  AF_KERNEL void __launch_bounds__(depthwise_grad_threads)                           \
      depthwise_weight_grad_##dtype##_##taps(AF_PARAM DepthwiseWeightGradParams p) { \
    depthwise_weight_grad<T, taps>(p);                                               \
  }
#define AF_DEPTHWISE_GRAD(dtype, T)                                       \
  AF_KERNEL void __launch_bounds__(depthwise_grad_threads)                \
      depthwise_input_grad_##dtype(AF_PARAM DepthwiseInputGradParams p) { \
    depthwise_input_grad<T>(p);                                           \
  }                                                                       \
  AF_KERNEL void __launch_bounds__(depthwise_grad_threads)                \
      depthwise_reduce_##dtype(AF_PARAM DepthwiseReduceParams p) {        \
    depthwise_reduce<T>(p);                                               \
  }                                                                       \
  AF_WEIGHT_GRAD(dtype, T, 1)                                             \
  AF_WEIGHT_GRAD(dtype, T, 3)                                             \
  AF_WEIGHT_GRAD(dtype, T, 5)                                             \
  AF_WEIGHT_GRAD(dtype, T, 7)
AF_DEPTHWISE_GRAD(fp32, float)
AF_DEPTHWISE_GRAD(fp16, half_t)
AF_DEPTHWISE_GRAD(bf16, bf16_t)
#undef AF_DEPTHWISE_GRAD
#undef AF_WEIGHT_GRAD

}  // namespace alphaflops::cuda
