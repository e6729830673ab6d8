// Convolution of at most four input channels: the first layer of a network.
//
// A block holds its patch of the input and the weights of its output channels in shared memory; a
// thread has a register tile of pixels x channels.
#pragma once

#include "accumulate.cuh"
#include "conv_direct_params.cuh"

namespace alphaflops::cuda {

template <class T, int pixels, int channels, int lanes>
AF_DEVICE void conv_direct(const ConvDirectParams& p) {
  using A = Arithmetic<T>;
  using Sum = typename A::Sum;
  constexpr int quads = channels / 4;
  constexpr int block_channels = channels * lanes;
  constexpr int pixel_lanes = direct_threads / lanes;
  const ConvGeometry& g = p.conv;
  const int thread = static_cast<int>(threadIdx.x);
  const PixelOrigin origin = tile_origin(p.tile, blockIdx.x);
  const int first_channel = static_cast<int>(blockIdx.y) * block_channels;

  Sum* patch = static_cast<Sum*>(af_dynamic_shared());
  Sum* taps = patch + direct_patch_elements(p.tile);

  const int patch_pixels = p.tile.patch_height * p.tile.patch_width;
  for (int i = thread; i < patch_pixels; i += direct_threads) {
    unsigned column = static_cast<unsigned>(i);
    const int row = static_cast<int>(divide_keep(column, p.tile.by_patch_width));
    const int y = origin.row * g.stride_h - g.pad_top + row;
    const int x = origin.column * g.stride_w - g.pad_left + static_cast<int>(column);
    Quad<Sum> pixel{};
    if (inside(y, g.h_in) && inside(x, g.w_in)) {
      const T* from = static_cast<const T*>(p.input) + input_pixel(g, origin.image, y, x);
      AF_UNROLL
      for (int c = 0; c < direct_channels; ++c) {
        if (c < g.c_in) pixel.element[c] = A::widen(from[c]);
      }
    }
    store<Sum, 4>(patch + i * direct_channels, pixel);
  }
  // Lanes go over output channels: no bank conflicts here, and the cache holds the lines between.
  const int volume = g.k_h * g.k_w * g.c_in;
  for (int i = thread; i < volume * block_channels; i += direct_threads) {
    const int channel = first_channel + i % block_channels;
    const int tap = i / block_channels;
    const T* weights = static_cast<const T*>(p.weights);
    taps[i] = channel < g.c_out ? A::widen(weights[static_cast<long long>(channel) * volume + tap])
                                : Sum{};
  }
  __syncthreads();

  const int lane = thread % lanes;
  const int pixel_lane = thread / lanes;
  int at[pixels];  // of the thread's pixels in the patch
  AF_UNROLL
  for (int j = 0; j < pixels; ++j) {
    unsigned column = static_cast<unsigned>(j * pixel_lanes + pixel_lane);
    const int row = static_cast<int>(divide_keep(column, p.by_tile_width));
    at[j] = (row * g.stride_h * p.tile.patch_width + static_cast<int>(column) * g.stride_w) *
            direct_channels;
  }

  Sum sum[pixels][channels] = {};
  const Sum* tap = taps + lane * 4;
  for (int r = 0; r < g.k_h; ++r) {
    for (int s = 0; s < g.k_w; ++s) {
      const Sum* here =
          patch + (r * g.dilation_h * p.tile.patch_width + s * g.dilation_w) * direct_channels;
      Quad<Sum> x[pixels];
      AF_UNROLL
      for (int j = 0; j < pixels; ++j) x[j] = load<Sum, 4>(here + at[j]);
      AF_UNROLL
      for (int c = 0; c < direct_channels; ++c) {
        if (c < g.c_in) {
          AF_UNROLL
          for (int q = 0; q < quads; ++q) {
            const Quad<Sum> w = load<Sum, 4>(tap + q * lanes * 4);
            AF_UNROLL
            for (int j = 0; j < pixels; ++j) {
              AF_UNROLL
              for (int k = 0; k < 4; ++k) sum[j][q * 4 + k] += x[j].element[c] * w.element[k];
            }
          }
          tap += block_channels;
        }
      }
    }
  }

  using Output = typename A::Output;
  const Sum* bias = static_cast<const Sum*>(p.bias);
  const bool vector = g.c_out % 4 == 0;
  AF_UNROLL
  for (int j = 0; j < pixels; ++j) {
    unsigned column = static_cast<unsigned>(j * pixel_lanes + pixel_lane);
    const int row = origin.row + static_cast<int>(divide_keep(column, p.by_tile_width));
    const int q_out = origin.column + static_cast<int>(column);
    if (row >= g.h_out || q_out >= g.w_out) continue;
    Output* to = static_cast<Output*>(p.output) + output_pixel(g, origin.image, row, q_out);
    AF_UNROLL
    for (int q = 0; q < quads; ++q) {
      const int channel = first_channel + (q * lanes + lane) * 4;
      Pack<Output, 4> y;
      AF_UNROLL
      for (int k = 0; k < 4; ++k) {
        Sum value = sum[j][q * 4 + k];
        if (bias != nullptr && channel + k < g.c_out) value += bias[channel + k];
        y.element[k] = A::narrow(activate(value, g.activation));
      }
      if (vector && channel < g.c_out) {
        store<Output, 4>(to + channel, y);
      } else if (!vector) {
        AF_UNROLL
        for (int k = 0; k < 4; ++k) {
          if (channel + k < g.c_out) to[channel + k] = y.element[k];
        }
      }
    }
  }
}

#define AF_TILE(dtype, T, pixels, channels, lanes)                                         \
  AF_KERNEL void __launch_bounds__(direct_threads)                                         \
      conv_direct_##dtype##_##pixels##x##channels##x##lanes(AF_PARAM ConvDirectParams p) { \
    conv_direct<T, pixels, channels, lanes>(p);                                            \
  }
#define AF_TILE_FP32(pixels, channels, lanes) AF_TILE(fp32, float, pixels, channels, lanes)
#define AF_TILE_FP16(pixels, channels, lanes) AF_TILE(fp16, half_t, pixels, channels, lanes)
#define AF_TILE_BF16(pixels, channels, lanes) AF_TILE(bf16, bf16_t, pixels, channels, lanes)
#define AF_TILE_INT8(pixels, channels, lanes) AF_TILE(int8, signed char, pixels, channels, lanes)
AF_CONV_DIRECT_TILES(AF_TILE_FP32)
AF_CONV_DIRECT_TILES(AF_TILE_FP16)
AF_CONV_DIRECT_TILES(AF_TILE_BF16)
AF_CONV_DIRECT_TILES(AF_TILE_INT8)
#undef AF_TILE_FP32
#undef AF_TILE_FP16
#undef AF_TILE_BF16
#undef AF_TILE_INT8
#undef AF_TILE

}  // namespace alphaflops::cuda
