// Depthwise convolution: c_in groups of one channel in and out.
//
// A thread has four channels of a few columns. It goes down the rows of its input, reads each once
// and one ahead, and adds it to every output row that it is under: those are in registers, and
// leave when they are complete. Weights are in shared memory, channels side by side.
#pragma once

#include "conv_depthwise_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

template <class T, int kernel, int stride, int columns>
AF_DEVICE void conv_depthwise(const ConvDepthwiseParams& p) {
  constexpr int width = depthwise_width;
  constexpr int input_columns = (columns - 1) * stride + kernel;
  constexpr int open = (kernel + stride - 1) / stride;  // output rows over one of the input
  const ConvGeometry& g = p.conv;
  const int thread = static_cast<int>(threadIdx.x);
  const int lanes = 1 << p.lane_bits, block_channels = lanes * width;
  unsigned first_channel = blockIdx.x;
  const int first_tile = static_cast<int>(divide_keep(first_channel, p.by_channel)) *
                         (depthwise_threads >> p.lane_bits);
  first_channel *= static_cast<unsigned>(block_channels);

  const int lane = thread & (lanes - 1);
  const int channel = static_cast<int>(first_channel) + lane * width;
  const int index = first_tile + (thread >> p.lane_bits);
  const bool active = index < p.tiles && channel < g.c_in;
  const PixelOrigin origin = tile_origin(p.tile, active ? static_cast<unsigned>(index) : 0);
  const int top = origin.row * stride - g.pad_top;
  const int left = origin.column * stride - g.pad_left;
  // Of the patch's first pixel, which padding may put before the input: never read then.
  const T* from =
      static_cast<const T*>(p.input) + input_pixel(g, origin.image, top, left) + channel;
  using Words = Pack<unsigned, static_cast<int>(width * sizeof(T) / 4)>;
  constexpr int depth = 4 / sizeof(T);  // rows on their way, as many bytes for every type
  Words ahead[depth][input_columns];
  const long long pitch = g.c_in;
  const int last = active ? min(g.h_in - top, p.tile.patch_height) : 0;  // of the rows to read
  unsigned columns_inside = 0;                                           // a bit each
  AF_UNROLL
  for (int column = 0; column < input_columns; ++column) {
    columns_inside |= inside(left + column, g.w_in) ? 1u << column : 0u;
  }
  const auto read = [&](Words(&to)[input_columns], int row) {
    const unsigned here = row + top >= 0 && row < last ? columns_inside : 0u;
    AF_UNROLL
    for (int column = 0; column < input_columns; ++column) {
      to[column] = (here >> column & 1u) != 0
                       ? *reinterpret_cast<const Words*>(from + column * pitch)
                       : Words{};
    }
    from += static_cast<long long>(g.w_in) * g.c_in;
  };
  AF_UNROLL
  for (int i = 0; i < depth; ++i) read(ahead[i], i);

  float* taps = static_cast<float*>(af_dynamic_shared());  // [kernel][kernel][block_channels], bias
  const int own = thread & (block_channels - 1);
  const bool own_inside = static_cast<int>(first_channel) + own < g.c_in;
  const T* weights = static_cast<const T*>(p.weights) +
                     (static_cast<int>(first_channel) + own) * (kernel * kernel);
  for (int tap = thread / width >> p.lane_bits; tap < kernel * kernel;
       tap += depthwise_threads / width >> p.lane_bits) {
    const int at = p.flipped != 0 ? kernel * kernel - 1 - tap : tap;
    taps[tap * block_channels + own] = own_inside ? to_float(weights[at]) : 0.0f;
  }
  if (thread < block_channels) {  // own == thread
    taps[kernel * kernel * block_channels + own] =
        p.bias != nullptr && own_inside
            ? static_cast<const float*>(p.bias)[static_cast<int>(first_channel) + own]
            : 0.0f;
  }
  __syncthreads();
  taps += lane * width;

  const int rows_left = active ? g.h_out - origin.row : 0;
  const int columns_left = g.w_out - origin.column;
  T* to = static_cast<T*>(p.output) +
          output_pixel(g, origin.image, origin.row - (open - 1), origin.column) + channel;

  // Of output row `step - j`. Rows that do not exist are summed as well, and never stored.
  float sum[open][columns][width] = {};
  AF_NO_UNROLL
  for (int step = 0; step < p.tile.height + open - 1; ++step) {
    keep_loads_here();
    const auto bias = load<float, width>(taps + kernel * kernel * block_channels);
    AF_UNROLL
    for (int phase = 0; phase < stride; ++phase) {
      float x[input_columns][width];
      AF_UNROLL
      for (int column = 0; column < input_columns; ++column) {
        to_floats<T>(ahead[0][column], x[column]);
        AF_UNROLL
        for (int i = 1; i < depth; ++i) ahead[i - 1][column] = ahead[i][column];
      }
      read(ahead[depth - 1], step * stride + phase + depth);
      AF_UNROLL
      for (int j = open - 1; j >= 0; --j) {
        const int r = j * stride + phase;
        if (r >= kernel) continue;
        AF_UNROLL
        for (int s = 0; s < kernel; ++s) {
          const auto w = load<float, width>(taps + (r * kernel + s) * block_channels);
          AF_UNROLL
          for (int i = 0; i < columns; ++i) {
            AF_UNROLL
            for (int k = 0; k < width; ++k) {
              // A row moves on to the next place with its first product.
              const bool moves = phase == 0 && s == 0;
              const float before = !moves  ? sum[j][i][k]
                                   : j > 0 ? sum[j - 1][i][k]
                                           : bias.element[k];
              sum[j][i][k] = before + w.element[k] * x[i * stride + s][k];
            }
          }
        }
      }
    }
    const int row = step - (open - 1);
    if (row >= 0 && row < rows_left) {
      AF_UNROLL
      for (int i = 0; i < columns; ++i) {
        if (i >= columns_left) continue;
        Pack<T, width> y;
        AF_UNROLL
        for (int k = 0; k < width; ++k) {
          y.element[k] = from_float<T>(activate(sum[open - 1][i][k], g.activation));
        }
        store<T, width>(to + static_cast<long long>(i) * g.c_out, y);
      }
    }
    to += static_cast<long long>(g.w_out) * g.c_out;
  }
}

#define AF_TILE(dtype, T, kernel, stride, columns, blocks)                  \
  AF_KERNEL void __launch_bounds__(depthwise_threads, blocks)               \
      conv_depthwise_##dtype##_k##kernel##s##stride##_##columns##x##blocks( \
          AF_PARAM ConvDepthwiseParams p) {                                 \
    conv_depthwise<T, kernel, stride, columns>(p);                          \
  }
#define AF_TILE_FP32(kernel, stride, columns, blocks) \
  AF_TILE(fp32, float, kernel, stride, columns, blocks)
#define AF_TILE_FP16(kernel, stride, columns, blocks) \
  AF_TILE(fp16, half_t, kernel, stride, columns, blocks)
#define AF_TILE_BF16(kernel, stride, columns, blocks) \
  AF_TILE(bf16, bf16_t, kernel, stride, columns, blocks)
AF_CONV_DEPTHWISE_TILES(AF_TILE_FP32)
AF_CONV_DEPTHWISE_TILES(AF_TILE_FP16)
AF_CONV_DEPTHWISE_TILES(AF_TILE_BF16)
#undef AF_TILE_FP32
#undef AF_TILE_FP16
#undef AF_TILE_BF16
#undef AF_TILE

}  // namespace alphaflops::cuda
