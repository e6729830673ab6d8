// Winograd's minimal filtering F(MxM, 3x3): the transforms of input and output tiles, NHWC.
//
//   Y = A^T [ sum over channels of (G g G^T) . (B^T d B) ] A
//
// A. Lavin, S. Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016; the matrices
// follow from interpolation at 0, +-a, +-b and infinity (at 0, +-1 and infinity for M = 2). The
// elementwise product summed over channels is a matrix product for each of the (M+2)^2 positions,
// which gemm.inl does; tables.hpp has the points.
#pragma once

#include "hide.inl"

namespace alphaflops::kernels {
namespace {

// One dimension of B^T d: M + 2 values, `step` apart, to M + 2 results side by side.
template <int M>
AF_INLINE void transform_input(const Vec* d, int step, Vec* t) {
  if constexpr (M == 2) {
    t[0] = sub(d[0], d[2 * step]);
    t[1] = add(d[step], d[2 * step]);
    t[2] = sub(d[2 * step], d[step]);
    t[3] = sub(d[step], d[3 * step]);
  } else {
    constexpr float a = kWinogradA, b = kWinogradB;
    const Vec d1 = d[step], d2 = d[2 * step], d3 = d[3 * step], d4 = d[4 * step];
    const Vec even_a = fma(splat(-b * b), d2, d4), odd_a = fma(splat(-b * b), d1, d3);
    const Vec even_b = fma(splat(-a * a), d2, d4), odd_b = fma(splat(-a * a), d1, d3);
    t[0] = fma(splat(a * a * b * b), d[0], fma(splat(-a * a - b * b), d2, d4));
    t[1] = fma(splat(a), odd_a, even_a);
    t[2] = fma(splat(-a), odd_a, even_a);
    t[3] = fma(splat(b), odd_b, even_b);
    t[4] = fma(splat(-b), odd_b, even_b);
    t[5] = fma(splat(a * a * b * b), d1, fma(splat(-a * a - b * b), d3, d[5 * step]));
  }
}

// One dimension of A^T m: M + 2 values, `step` apart, to M results side by side.
template <int M>
AF_INLINE void transform_output(const Vec* m, int step, Vec* y) {
  const Vec sum_a = add(m[step], m[2 * step]), difference_a = sub(m[step], m[2 * step]);
  if constexpr (M == 2) {
    y[0] = add(m[0], sum_a);
    y[1] = sub(difference_a, m[3 * step]);
  } else {
    constexpr float a = kWinogradA, b = kWinogradB;
    const Vec sum_b = add(m[3 * step], m[4 * step]);
    const Vec difference_b = sub(m[3 * step], m[4 * step]);
    y[0] = add(m[0], add(sum_a, sum_b));
    y[1] = fma(splat(a), difference_a, mul(splat(b), difference_b));
    y[2] = fma(splat(a * a), sum_a, mul(splat(b * b), sum_b));
    y[3] = fma(splat(a * a * a), difference_a, fma(splat(b * b * b), difference_b, m[5 * step]));
  }
}

template <int M, bool Border, bool Part>
AF_INLINE void winograd_input_channels(const WinogradInput& g, std::int64_t c, std::int64_t lanes) {
  constexpr int N = M + 2;
  Vec half[N * N];  // [column][transformed row]
#pragma GCC unroll 6
  for (int column = 0; column < N; ++column) {
    Vec patch[N];
    const float* x = g.input + column * g.input_pixel + c;
#pragma GCC unroll 6
    for (int row = 0; row < N; ++row) {
      if (Border && (row < g.row_first || row >= g.row_last || column < g.column_first ||
                     column >= g.column_last)) {
        patch[row] = splat(0.0f);
      } else {
        patch[row] = Part ? load_part(x + row * g.input_row, lanes) : load(x + row * g.input_row);
      }
    }
    transform_input<M>(patch, 1, half + column * N);
  }
  float* out = g.tiles + c;
#pragma GCC unroll 6
  for (int row = 0; row < N; ++row) {
    Vec whole[N];
    transform_input<M>(half + row, N, whole);
#pragma GCC unroll 6
    for (int column = 0; column < N; ++column) {
      store(out, whole[column]);
      out += g.position;
      hide(out);
    }
  }
}

template <int M, bool Border>
AF_INLINE void winograd_input_tile(const WinogradInput& g) {
  std::int64_t c = 0;
  for (; c + kLanes <= g.channels; c += kLanes) {
    winograd_input_channels<M, Border, false>(g, c, kLanes);
  }
  if (c < g.channels) winograd_input_channels<M, Border, true>(g, c, g.channels - c);
}

template <int M>
void winograd_input(const WinogradInput* args) {
  const WinogradInput g = *args;
  constexpr int N = M + 2;
  if (g.row_first == 0 && g.row_last == N && g.column_first == 0 && g.column_last == N) {
    winograd_input_tile<M, false>(g);
  } else {
    winograd_input_tile<M, true>(g);
  }
}

template <int M>
AF_INLINE void winograd_output_channels(const WinogradOutput& g, std::int64_t c,
                                        std::int64_t lanes) {
  constexpr int N = M + 2;
  Vec half[N * M];  // [column][transformed row]
  const float* m = g.tiles + c;
#pragma GCC unroll 6
  for (int column = 0; column < N; ++column) {
    Vec products[N];
    const float* from = m + column * g.position;
#pragma GCC unroll 6
    for (int row = 0; row < N; ++row) {
      products[row] = load(from);
      from += N * g.position;
      hide(from);
    }
    transform_output<M>(products, 1, half + column * M);
  }
  const Vec low = splat(g.low);
  const Vec high = splat(g.high);
  Vec bias = splat(0.0f);
  const bool full = lanes == kLanes;
  if (g.bias != nullptr) bias = full ? load(g.bias + c) : load_part(g.bias + c, lanes);
  float* y_row = g.output + c;
#pragma GCC unroll 4
  for (int row = 0; row < M; ++row) {
    if (row >= g.rows) break;
    Vec whole[M];
    transform_output<M>(half + row, M, whole);
    float* y = y_row;
#pragma GCC unroll 4
    for (int column = 0; column < M; ++column) {
      const Vec value = min(high, max(low, add(whole[column], bias)));
      if (column >= g.columns) break;
      if (full) {
        store(y, value);
      } else {
        store_part(y, lanes, value);
      }
      y += g.output_pixel;
    }
    y_row += g.output_row;
  }
}

template <int M>
void winograd_output(const WinogradOutput* args) {
  const WinogradOutput g = *args;
  for (std::int64_t c = 0; c < g.channels; c += kLanes) {
    winograd_output_channels<M>(g, c, g.channels - c < kLanes ? g.channels - c : kLanes);
  }
}

#define AF_WINOGRAD_TABLE                                                              \
  {                                                                                    \
    {winograd_input<2>, winograd_input<4>}, { winograd_output<2>, winograd_output<4> } \
  }

}  // namespace
}  // namespace alphaflops::kernels
