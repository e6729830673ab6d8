// Depthwise convolution: c_in groups of one channel in and out.
//
// A thread has four channels of a few output pixels, in registers. It goes down the rows of
// its input once: each is read once and serves every output row that it is under. Weights are in
// shared memory, channels side by side.
#pragma once

#include "conv_depthwise_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

template <class T, int kernel, int stride, int rows, int columns>
AF_DEVICE void conv_depthwise(const ConvDepthwiseParams& p) {
  constexpr int width = depthwise_width;
  constexpr int input_rows = (rows - 1) * stride + kernel;
  constexpr int input_columns = (columns - 1) * stride + kernel;
  const ConvGeometry& g = p.conv;
  const int thread = static_cast<int>(threadIdx.x);
  const int block_channels = p.lanes * width;
  const int first_channel = static_cast<int>(blockIdx.y) * block_channels;

  float* taps = static_cast<float*>(af_dynamic_shared());  // [kernel][kernel][block_channels]
  const T* weights = static_cast<const T*>(p.weights);
  for (int i = thread; i < kernel * kernel * block_channels; i += depthwise_threads) {
    const int channel = first_channel + i % block_channels;
    const int tap = i / block_channels;
    const int from = p.flipped != 0 ? kernel * kernel - 1 - tap : tap;
    taps[i] = channel < g.c_in ? to_float(weights[channel * (kernel * kernel) + from]) : 0.0f;
  }
  __syncthreads();

  const int lane = thread % p.lanes;
  const int channel = first_channel + lane * width;
  const int index = static_cast<int>(blockIdx.x) * (depthwise_threads / p.lanes) + thread / p.lanes;
  if (index >= p.tiles || channel >= g.c_in) return;
  const PixelOrigin origin = tile_origin(p.tile, static_cast<unsigned>(index));
  const int top = origin.row * stride - g.pad_top;
  const int left = origin.column * stride - g.pad_left;
  // Of the patch's first pixel, which padding may put before the input: never read then.
  const long long corner = input_pixel(g, origin.image, top, left) + channel;

  float sum[rows][columns][width] = {};
  AF_UNROLL
  for (int row = 0; row < input_rows; ++row) {
    const bool row_inside = inside(top + row, g.h_in);
    const T* from =
        static_cast<const T*>(p.input) + corner + static_cast<long long>(row) * g.w_in * g.c_in;
    Pack<T, width> x[input_columns];
    AF_UNROLL
    for (int column = 0; column < input_columns; ++column) {
      x[column] = row_inside && inside(left + column, g.w_in)
                      ? load<T, width>(from + static_cast<long long>(column) * g.c_in)
                      : Pack<T, width>{};
    }
    AF_UNROLL
    for (int i = 0; i < rows; ++i) {
      const int r = row - i * stride;
      if (r < 0 || r >= kernel) continue;
      AF_UNROLL
      for (int s = 0; s < kernel; ++s) {
        const auto w = load<float, width>(taps + (r * kernel + s) * block_channels + lane * width);
        AF_UNROLL
        for (int j = 0; j < columns; ++j) {
          AF_UNROLL
          for (int k = 0; k < width; ++k) {
            sum[i][j][k] += w.element[k] * to_float(x[j * stride + s].element[k]);
          }
        }
      }
    }
  }

  float bias[width] = {};
  if (p.bias != nullptr) {
    AF_UNROLL
    for (int k = 0; k < width; ++k) bias[k] = static_cast<const float*>(p.bias)[channel + k];
  }
  AF_UNROLL
  for (int i = 0; i < rows; ++i) {
    AF_UNROLL
    for (int j = 0; j < columns; ++j) {
      if (origin.row + i >= g.h_out || origin.column + j >= g.w_out) continue;
      Pack<T, width> y;
      AF_UNROLL
      for (int k = 0; k < width; ++k) {
        y.element[k] = from_float<T>(activate(sum[i][j][k] + bias[k], g.activation));
      }
      store<T, width>(static_cast<T*>(p.output) +
                          output_pixel(g, origin.image, origin.row + i, origin.column + j) +
                          channel,
                      y);
    }
  }
}

#define AF_TILE(dtype, T, kernel, stride, rows, columns)                  \
  AF_KERNEL void __launch_bounds__(depthwise_threads)                     \
      conv_depthwise_##dtype##_k##kernel##s##stride##_##rows##x##columns( \
          AF_PARAM ConvDepthwiseParams p) {                               \
    conv_depthwise<T, kernel, stride, rows, columns>(p);                  \
  }
#define AF_TILE_FP32(kernel, stride, rows, columns) \
  AF_TILE(fp32, float, kernel, stride, rows, columns)
#define AF_TILE_FP16(kernel, stride, rows, columns) \
  AF_TILE(fp16, half_t, kernel, stride, rows, columns)
#define AF_TILE_BF16(kernel, stride, rows, columns) \
  AF_TILE(bf16, bf16_t, kernel, stride, rows, columns)
AF_CONV_DEPTHWISE_TILES(AF_TILE_FP32)
AF_CONV_DEPTHWISE_TILES(AF_TILE_FP16)
AF_CONV_DEPTHWISE_TILES(AF_TILE_BF16)
#undef AF_TILE_FP32
#undef AF_TILE_FP16
#undef AF_TILE_BF16
#undef AF_TILE

}  // namespace alphaflops::cuda
