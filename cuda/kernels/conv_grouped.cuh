// Convolution of narrow groups, of 2 to 32 channels each: too few to fill a matrix tile.
//
// A block has some whole groups and a rectangle of output pixels; their input and weights are in
// shared memory. A thread has `width` output channels of one group at `pixels` pixels.
#pragma once

#include "accumulate.cuh"
#include "conv_grouped_params.cuh"

namespace alphaflops::cuda {

template <class T, int pixels, int width>
AF_DEVICE void conv_grouped(const ConvGroupedParams& p) {
  using A = Arithmetic<T>;
  using Sum = typename A::Sum;
  const ConvGeometry& g = p.conv;
  const unsigned thread = threadIdx.x;
  const PixelOrigin origin = tile_origin(p.tile, blockIdx.x);
  const int first_group = static_cast<int>(blockIdx.y) * p.block_groups;
  const int first_in = first_group * g.group_in;
  const int first_out = first_group * g.group_out;
  const int block_in = p.block_groups * g.group_in;
  const int block_out = p.block_groups * g.group_out;

  Sum* patch = static_cast<Sum*>(af_dynamic_shared());                     // [pixel][pitch]
  Sum* taps = patch + p.tile.patch_height * p.tile.patch_width * p.pitch;  // [tap][in][block_out]

  const int packs = block_in / width;
  const int patch_packs = p.tile.patch_height * p.tile.patch_width * packs;
  for (unsigned i = thread; i < static_cast<unsigned>(patch_packs); i += grouped_threads) {
    unsigned pack = i;
    const unsigned pixel = divide_keep(pack, p.by_patch_packs);
    unsigned column = pixel;
    const int row = static_cast<int>(divide_keep(column, p.tile.by_patch_width));
    const int y = origin.row * g.stride_h - g.pad_top + row;
    const int x = origin.column * g.stride_w - g.pad_left + static_cast<int>(column);
    const int channel = first_in + static_cast<int>(pack) * width;
    Pack<Sum, width> wide{};
    if (inside(y, g.h_in) && inside(x, g.w_in) && channel < g.c_in) {
      const auto from = load<T, width>(static_cast<const T*>(p.input) +
                                       input_pixel(g, origin.image, y, x) + channel);
      AF_UNROLL
      for (int k = 0; k < width; ++k) wide.element[k] = A::widen(from.element[k]);
    }
    store<Sum, width>(patch + static_cast<int>(pixel) * p.pitch + static_cast<int>(pack) * width,
                      wide);
  }
  const int volume = g.k_h * g.k_w * g.group_in;
  for (unsigned i = thread; i < static_cast<unsigned>(volume * block_out); i += grouped_threads) {
    unsigned out = i;
    const unsigned tap = divide_keep(out, p.by_block_out);
    const int channel = first_out + static_cast<int>(out);
    taps[i] = channel < g.c_out ? A::widen(static_cast<const T*>(
                                      p.weights)[static_cast<long long>(channel) * volume + tap])
                                : Sum{};
  }
  __syncthreads();

  unsigned lane = thread;
  const int pixel_lane = static_cast<int>(divide_keep(lane, p.by_channel_lanes));
  const int channel = first_out + static_cast<int>(lane) * width;
  if (pixel_lane >= p.pixel_lanes || channel >= g.c_out) return;
  const int group = static_cast<int>(divide(lane, p.by_lanes_of_group));

  int at[pixels];  // of the thread's pixels and group in the patch
  AF_UNROLL
  for (int j = 0; j < pixels; ++j) {
    unsigned column = static_cast<unsigned>(j * p.pixel_lanes + pixel_lane);
    int row = static_cast<int>(divide_keep(column, p.by_tile_width));
    if (row >= p.tile.height) row = 0;  // beyond the tile: computed and dropped
    at[j] =
        (row * g.stride_h * p.tile.patch_width + static_cast<int>(column) * g.stride_w) * p.pitch +
        group * g.group_in;
  }

  Sum sum[pixels][width] = {};
  const Sum* tap = taps + lane * width;
  for (int r = 0; r < g.k_h; ++r) {
    for (int s = 0; s < g.k_w; ++s) {
      const Sum* here =
          patch + (r * g.dilation_h * p.tile.patch_width + s * g.dilation_w) * p.pitch;
      for (int c = 0; c < g.group_in; c += width) {
        Pack<Sum, width> x[pixels];
        AF_UNROLL
        for (int j = 0; j < pixels; ++j) x[j] = load<Sum, width>(here + at[j] + c);
        AF_UNROLL
        for (int i = 0; i < width; ++i) {
          const Pack<Sum, width> w = load<Sum, width>(tap + i * block_out);
          AF_UNROLL
          for (int j = 0; j < pixels; ++j) {
            AF_UNROLL
            for (int k = 0; k < width; ++k) sum[j][k] += x[j].element[i] * w.element[k];
          }
        }
        tap += width * block_out;
      }
    }
  }

  using Output = typename A::Output;
  Sum bias[width] = {};
  if (p.bias != nullptr) {
    AF_UNROLL
    for (int k = 0; k < width; ++k) bias[k] = static_cast<const Sum*>(p.bias)[channel + k];
  }
  AF_UNROLL
  for (int j = 0; j < pixels; ++j) {
    unsigned column = static_cast<unsigned>(j * p.pixel_lanes + pixel_lane);
    const int tile_row = static_cast<int>(divide_keep(column, p.by_tile_width));
    const int row = origin.row + tile_row;
    const int q_out = origin.column + static_cast<int>(column);
    if (tile_row >= p.tile.height || row >= g.h_out || q_out >= g.w_out) continue;
    Pack<Output, width> y;
    AF_UNROLL
    for (int k = 0; k < width; ++k) {
      y.element[k] = A::narrow(activate(sum[j][k] + bias[k], g.activation));
    }
    store<Output, width>(
        static_cast<Output*>(p.output) + output_pixel(g, origin.image, row, q_out) + channel, y);
  }
}

#define AF_TILE(dtype, T, pixels, width)                                        \
  AF_KERNEL void __launch_bounds__(grouped_threads, 2)                          \
      conv_grouped_##dtype##_##pixels##x##width(AF_PARAM ConvGroupedParams p) { \
    conv_grouped<T, pixels, width>(p);                                          \
  }
#define AF_TILE_FP32(pixels, width) AF_TILE(fp32, float, pixels, width)
#define AF_TILE_FP16(pixels, width) AF_TILE(fp16, half_t, pixels, width)
#define AF_TILE_BF16(pixels, width) AF_TILE(bf16, bf16_t, pixels, width)
#define AF_TILE_INT8(pixels, width) AF_TILE(int8, signed char, pixels, width)
AF_CONV_GROUPED_TILES(AF_TILE_FP32)
AF_CONV_GROUPED_TILES(AF_TILE_FP16)
AF_CONV_GROUPED_TILES(AF_TILE_BF16)
AF_CONV_GROUPED_TILES(AF_TILE_INT8)
#undef AF_TILE_FP32
#undef AF_TILE_FP16
#undef AF_TILE_BF16
#undef AF_TILE_INT8
#undef AF_TILE

}  // namespace alphaflops::cuda
