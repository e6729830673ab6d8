// Convolution of any shape: groups of any size, any window, stride and dilation. Slow and simple;
// for what no other kernel does.
#pragma once

#include "accumulate.cuh"
#include "conv_general_params.cuh"

namespace alphaflops::cuda {

// The output of a thread: a pixel, and which of its `by_channels.divisor` outputs.
struct GeneralOutput {
  int image, row, column, channel;
};

AF_DEVICE bool general_output(const ConvGeneralParams& p, GeneralOutput* at) {
  const long long first = static_cast<long long>(blockIdx.x) * general_threads;
  if (first + threadIdx.x >= p.outputs) return false;
  const Split split_at = split(first, threadIdx.x, p.by_channels);
  unsigned pixel = split_at.quotient;
  unsigned row = divide_keep(pixel, p.by_w_out);
  at->image = static_cast<int>(divide_keep(row, p.by_h_out));
  at->row = static_cast<int>(row);
  at->column = static_cast<int>(pixel);
  at->channel = static_cast<int>(split_at.remainder);
  return true;
}

// One output channel a thread.
template <class T>
AF_DEVICE void conv_general(const ConvGeneralParams& p) {
  using A = Arithmetic<T>;
  using Sum = typename A::Sum;
  const ConvGeometry& g = p.conv;
  GeneralOutput at;
  if (!general_output(p, &at)) return;
  const int group = static_cast<int>(divide(static_cast<unsigned>(at.channel), p.by_group_out));
  const T* weights = static_cast<const T*>(p.weights) +
                     static_cast<long long>(at.channel) * g.k_h * g.k_w * g.group_in;
  Sum sum{};
  for (int r = 0; r < g.k_h; ++r) {
    const int y = input_row(g, at.row, r);
    if (!inside(y, g.h_in)) continue;
    for (int s = 0; s < g.k_w; ++s) {
      const int x = input_column(g, at.column, s);
      if (!inside(x, g.w_in)) continue;
      const T* from = static_cast<const T*>(p.input) + input_pixel(g, at.image, y, x) +
                      static_cast<long long>(group) * g.group_in;
      const T* tap = weights + static_cast<long long>(r * g.k_w + s) * g.group_in;
      for (int c = 0; c < g.group_in; ++c) sum += A::widen(from[c]) * A::widen(tap[c]);
    }
  }
  if (p.bias != nullptr) sum += static_cast<const Sum*>(p.bias)[at.channel];
  using Output = typename A::Output;
  static_cast<Output*>(p.output)[output_pixel(g, at.image, at.row, at.column) + at.channel] =
      A::narrow(activate(sum, g.activation));
}

// Four channels of a depthwise convolution a thread.
template <class T>
AF_DEVICE void conv_general_depthwise(const ConvGeneralParams& p) {
  using A = Arithmetic<T>;
  using Sum = typename A::Sum;
  const ConvGeometry& g = p.conv;
  GeneralOutput at;
  if (!general_output(p, &at)) return;
  const int channel = at.channel * 4;
  const int volume = g.k_h * g.k_w;
  const T* weights = static_cast<const T*>(p.weights) + static_cast<long long>(channel) * volume;
  Sum sum[4] = {};
  for (int r = 0; r < g.k_h; ++r) {
    const int y = input_row(g, at.row, r);
    if (!inside(y, g.h_in)) continue;
    for (int s = 0; s < g.k_w; ++s) {
      const int x = input_column(g, at.column, s);
      if (!inside(x, g.w_in)) continue;
      const auto pixel =
          load<T, 4>(static_cast<const T*>(p.input) + input_pixel(g, at.image, y, x) + channel);
      AF_UNROLL
      for (int k = 0; k < 4; ++k) {
        sum[k] += A::widen(pixel.element[k]) * A::widen(weights[k * volume + r * g.k_w + s]);
      }
    }
  }
  using Output = typename A::Output;
  Pack<Output, 4> out;
  AF_UNROLL
  for (int k = 0; k < 4; ++k) {
    if (p.bias != nullptr) sum[k] += static_cast<const Sum*>(p.bias)[channel + k];
    out.element[k] = A::narrow(activate(sum[k], g.activation));
  }
  store<Output, 4>(
      static_cast<Output*>(p.output) + output_pixel(g, at.image, at.row, at.column) + channel, out);
}

#define AF_CONV_GENERAL(dtype, T)                                    \
  AF_KERNEL void __launch_bounds__(general_threads)                  \
      conv_general_##dtype(AF_PARAM ConvGeneralParams p) {           \
    conv_general<T>(p);                                              \
  }                                                                  \
  AF_KERNEL void __launch_bounds__(general_threads)                  \
      conv_general_depthwise_##dtype(AF_PARAM ConvGeneralParams p) { \
    conv_general_depthwise<T>(p);                                    \
  }
AF_CONV_GENERAL(fp32, float)
AF_CONV_GENERAL(fp16, half_t)
AF_CONV_GENERAL(bf16, bf16_t)
AF_CONV_GENERAL(int8, signed char)
#undef AF_CONV_GENERAL

}  // namespace alphaflops::cuda
