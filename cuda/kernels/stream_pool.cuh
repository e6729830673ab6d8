// Pooling over windows, and over all pixels of an image.
#pragma once

#include "device.cuh"
#include "stream_params.cuh"

namespace alphaflops::cuda {

enum class Pool { max, average };

// The first of a window's taps from `start` on, so many apart, that is not before 0.
AF_DEVICE int first_tap(int start, int apart) {
  return start >= 0 ? start : start + (apart - 1 - start) / apart * apart;
}

template <class T, int width, Pool kind, bool dilated = false>
AF_DEVICE void stream_pool(const PoolParams& p) {
  const long long first = static_cast<long long>(blockIdx.x) * stream_threads;
  if (first + threadIdx.x >= p.packs) return;
  const Split at = split(first, threadIdx.x, p.by_channel_packs);
  unsigned column = at.quotient;
  unsigned row = divide_keep(column, p.by_w_out);
  const unsigned image = divide_keep(row, p.by_h_out);
  const int top = static_cast<int>(row) * p.stride_h - p.pad_top;
  const int left = static_cast<int>(column) * p.stride_w - p.pad_left;
  const int down = dilated ? p.dilation_h : 1, across = dilated ? p.dilation_w : 1;
  const int y_first = first_tap(top, down), y_end = min(top + (p.k_h - 1) * down + 1, p.h_in);
  const int x_first = first_tap(left, across);
  const int x_end = min(left + (p.k_w - 1) * across + 1, p.w_in);

  float result[width];
  AF_UNROLL
  for (int k = 0; k < width; ++k) {
    result[k] = kind == Pool::max ? bit_cast<float>(0xff800000u) : 0.0f;  // -infinity
  }
  for (int y = y_first; y < y_end; y += down) {
    const T* from = static_cast<const T*>(p.input) +
                    ((static_cast<long long>(image) * p.h_in + y) * p.w_in + x_first) * p.channels +
                    at.remainder * width;
    for (int x = x_first; x < x_end; x += across, from += across * p.channels) {
      const Pack<T, width> pack = load<T, width>(from);
      AF_UNROLL
      for (int k = 0; k < width; ++k) {
        const float value = to_float(pack.element[k]);
        if constexpr (kind == Pool::max) {
          result[k] = larger(result[k], value);  // a NaN wins, and stays
        } else {
          result[k] += value;
        }
      }
    }
  }
  float scale = 1.0f;
  if constexpr (kind == Pool::average) {
    const int rows = p.count_padding != 0 ? min(top + p.k_h, p.padded_h) - top : y_end - y_first;
    const int columns =
        p.count_padding != 0 ? min(left + p.k_w, p.padded_w) - left : x_end - x_first;
    const bool empty = y_end <= y_first || x_end <= x_first;
    scale = empty ? 0.0f : 1.0f / static_cast<float>(rows * columns);
  }
  Pack<T, width> out;
  AF_UNROLL
  for (int k = 0; k < width; ++k) out.element[k] = from_float<T>(result[k] * scale);
  store<T, width>(static_cast<T*>(p.output) + (first + threadIdx.x) * width, out);
}

// [n][pixels][c] -> [n][c]. A block has some channels of an image: a lane has `width` of them at
// every 32nd pixel, and the partial sums meet in shared memory.
template <class T, int width>
AF_DEVICE void stream_global_pool(const GlobalPoolParams& p) {
  constexpr int pixel_lanes = stream_threads / pool_lanes;
  unsigned block = blockIdx.x;
  const unsigned image = divide_keep(block, p.by_blocks);
  const int lane = static_cast<int>(threadIdx.x) % pool_lanes;
  const int pixel_lane = static_cast<int>(threadIdx.x) / pool_lanes;
  const int channel = (static_cast<int>(block) * pool_lanes + lane) * width;
  const bool active = channel < p.channels;
  float sum[width] = {};
  if (active) {
    const T* from = static_cast<const T*>(p.input) +
                    static_cast<long long>(image) * p.pixels * p.channels + channel;
    for (int i = pixel_lane; i < p.pixels; i += pixel_lanes) {
      const auto pack = load<T, width>(from + static_cast<long long>(i) * p.channels);
      AF_UNROLL
      for (int k = 0; k < width; ++k) sum[k] += to_float(pack.element[k]);
    }
  }
  float* partial = static_cast<float*>(af_dynamic_shared());  // [pixel lane][lane][width]
  AF_UNROLL
  for (int k = 0; k < width; ++k) partial[threadIdx.x * width + k] = sum[k];
  __syncthreads();
  if (pixel_lane != 0 || !active) return;
  Pack<T, width> out;
  AF_UNROLL
  for (int k = 0; k < width; ++k) {
    float total = 0.0f;
    for (int i = 0; i < pixel_lanes; ++i) total += partial[(i * pool_lanes + lane) * width + k];
    out.element[k] = from_float<T>(total * p.scale);
  }
  store<T, width>(static_cast<T*>(p.output) + static_cast<long long>(image) * p.channels + channel,
                  out);
}

#define AF_POOL(dtype, T, suffix, width)                                           \
  AF_KERNEL void __launch_bounds__(stream_threads, 4)                              \
      stream_max_pool_##dtype##_##suffix(AF_PARAM PoolParams p) {                  \
    stream_pool<T, width, Pool::max>(p);                                           \
  }                                                                                \
  AF_KERNEL void __launch_bounds__(stream_threads)                                 \
      stream_max_pool_dilated_##dtype##_##suffix(AF_PARAM PoolParams p) {          \
    stream_pool<T, width, Pool::max, true>(p);                                     \
  }                                                                                \
  AF_KERNEL void __launch_bounds__(stream_threads)                                 \
      stream_average_pool_##dtype##_##suffix(AF_PARAM PoolParams p) {              \
    stream_pool<T, width, Pool::average>(p);                                       \
  }                                                                                \
  AF_KERNEL void __launch_bounds__(stream_threads)                                 \
      stream_global_average_pool_##dtype##_##suffix(AF_PARAM GlobalPoolParams p) { \
    stream_global_pool<T, width>(p);                                               \
  }
#define AF_POOL_WIDTHS(dtype, T)           \
  AF_POOL(dtype, T, x16, (16 / sizeof(T))) \
  AF_POOL(dtype, T, x1, 1)
AF_POOL_WIDTHS(fp32, float)
AF_POOL_WIDTHS(fp16, half_t)
AF_POOL_WIDTHS(bf16, bf16_t)
#undef AF_POOL_WIDTHS
#undef AF_POOL

}  // namespace alphaflops::cuda
