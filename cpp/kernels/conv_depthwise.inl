// Depthwise convolution on NHWC: channels along the vector, several output pixels of a row at once.
//
// A row of the kernel is held in registers and every input pixel is loaded once for all the outputs
// of the tile that it reaches.
#pragma once

#include "hide.inl"

namespace alphaflops::kernels {
namespace {

template <int Width, int Stride, int Pixels, bool Border, bool Part>
AF_INLINE void depthwise_channels(const DepthwiseArgs& a, std::int64_t c, std::int64_t lanes) {
  constexpr int kColumns = (Pixels - 1) * Stride + Width;
  Vec start = splat(0.0f);
  if (a.bias != nullptr) start = Part ? load_part(a.bias + c, lanes) : load(a.bias + c);
  Vec acc[Pixels];
#pragma GCC unroll 8
  for (int p = 0; p < Pixels; ++p) acc[p] = start;
  const float* input = a.input + c;
  const float* weights = a.weights + c;
  const float* const* columns = a.columns;
  for (std::int64_t row = 0; row < a.rows; ++row) {
    Vec weight[Width];
    const float* tap = weights;
#pragma GCC unroll 8
    for (int t = 0; t < Width; ++t) {
      weight[t] = load(tap);
      tap += a.weight_column;
      hide(tap);
    }
    const float* pixel = input;
#pragma GCC unroll 32
    for (int i = 0; i < kColumns; ++i) {
      const float* x = Border ? columns[i] + c : pixel;
      const Vec value = Part ? load_part(x, lanes) : load(x);
      if (!Border) {
        pixel += a.input_pixel;
        hide(pixel);
      }
#pragma GCC unroll 8
      for (int p = 0; p < Pixels; ++p) {
        const int t = i - p * Stride;
        if (t >= 0 && t < Width) acc[p] = fma(value, weight[t], acc[p]);
      }
    }
    input += a.input_row;
    weights += a.weight_row;
    columns += kColumns;
  }
  const Vec low = splat(a.low);
  const Vec high = splat(a.high);
  float* out = a.output + c;
#pragma GCC unroll 8
  for (int p = 0; p < Pixels; ++p) {
    const Vec y = min(high, max(low, acc[p]));
    if (Part) {
      store_part(out, lanes, y);
    } else {
      store(out, y);
    }
    out += a.channels;
    hide(out);
  }
}

template <int Width, int Stride, int Pixels, bool Border>
void depthwise(const DepthwiseArgs* a) {
  std::int64_t c = 0;
  for (; c + kLanes <= a->channels; c += kLanes) {
    hide(a);
    depthwise_channels<Width, Stride, Pixels, Border, false>(*a, c, kLanes);
  }
  if (c < a->channels) {
    depthwise_channels<Width, Stride, Pixels, Border, true>(*a, c, a->channels - c);
  }
}

template <int Vectors, bool Part>
AF_INLINE void depthwise_single_channels(const DepthwiseArgs& a, std::int64_t c,
                                         std::int64_t lanes) {
  Vec acc[Vectors];
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    acc[v] = splat(0.0f);
    if (a.bias != nullptr) {
      acc[v] = Part ? load_part(a.bias + c, lanes) : load(a.bias + c + v * kLanes);
    }
  }
  for (std::int64_t row = 0; row < a.rows; ++row) {
    const float* x = a.input + row * a.input_row + c;
    const float* w = a.weights + row * a.weight_row + c;
    for (std::int64_t t = 0; t < a.taps; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < Vectors; ++v) {
        const Vec value = Part ? load_part(x, lanes) : load(x + v * kLanes);
        acc[v] = fma(value, load(w + v * kLanes), acc[v]);
      }
      x += a.input_pixel;
      w += a.weight_column;
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < Vectors; ++v) {
    const Vec y = min(splat(a.high), max(splat(a.low), acc[v]));
    if (Part) {
      store_part(a.output + c, lanes, y);
    } else {
      store(a.output + c + v * kLanes, y);
    }
  }
}

void depthwise_single(const DepthwiseArgs* args) {
  const DepthwiseArgs a = *args;
  std::int64_t c = 0;
  for (; c + 4 * kLanes <= a.channels; c += 4 * kLanes) {
    depthwise_single_channels<4, false>(a, c, kLanes);
  }
  for (; c + kLanes <= a.channels; c += kLanes) depthwise_single_channels<1, false>(a, c, kLanes);
  if (c < a.channels) depthwise_single_channels<1, true>(a, c, a.channels - c);
}

#define AF_DEPTHWISE_ROW(W, S, B) \
  {nullptr,                       \
   depthwise<W, S, 1, B>,         \
   depthwise<W, S, 2, B>,         \
   depthwise<W, S, 3, B>,         \
   depthwise<W, S, 4, B>,         \
   depthwise<W, S, 5, B>,         \
   depthwise<W, S, 6, B>,         \
   depthwise<W, S, 7, B>}
#define AF_DEPTHWISE_ROWS(B)                                      \
  {                                                               \
    {AF_DEPTHWISE_ROW(3, 1, B), AF_DEPTHWISE_ROW(3, 2, B)},       \
        {AF_DEPTHWISE_ROW(5, 1, B), AF_DEPTHWISE_ROW(5, 2, B)}, { \
      AF_DEPTHWISE_ROW(7, 1, B), AF_DEPTHWISE_ROW(7, 2, B)        \
    }                                                             \
  }
#define AF_DEPTHWISE_TABLE \
  {kLanes, AF_DEPTHWISE_ROWS(false), AF_DEPTHWISE_ROWS(true), depthwise_single}

}  // namespace
}  // namespace alphaflops::kernels
