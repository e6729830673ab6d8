// The transforms of Winograd's F(4x4, 3x3) in fp32 (Lavin and Gray, 2016, points 0, 1, -1, 2, -2):
//
//   y = A' [ sum over c of (G w G') * (B' x B) ] A      36 multiplications in place of 144
//
// The sum over channels, 36 matrix products, is a 1x1 convolution of 36 groups: another kernel's.
// A thread has one channel of one tile; lanes go over channels.
#pragma once

#include "conv_winograd_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

// B' x
AF_DEVICE void winograd_input(const float (&x)[6], float (&y)[6]) {
  const float even = x[4] - 4.0f * x[2], odd = x[3] - 4.0f * x[1];
  const float inner = x[4] - x[2], outer = 2.0f * (x[3] - x[1]);
  y[0] = 4.0f * x[0] - 5.0f * x[2] + x[4];
  y[1] = even + odd;
  y[2] = even - odd;
  y[3] = inner + outer;
  y[4] = inner - outer;
  y[5] = 4.0f * x[1] - 5.0f * x[3] + x[5];
}

// G w
AF_DEVICE void winograd_weights(const float (&w)[3], float (&y)[6]) {
  const float even = (w[0] + w[2]) * (-1.0f / 6.0f), odd = w[1] * (-1.0f / 6.0f);
  const float wide = w[0] * (1.0f / 24.0f) + w[2] * (1.0f / 6.0f), half = w[1] * (1.0f / 12.0f);
  y[0] = w[0] * 0.25f;
  y[1] = even + odd;
  y[2] = even - odd;
  y[3] = wide + half;
  y[4] = wide - half;
  y[5] = w[2];
}

// A' m
AF_DEVICE void winograd_output(const float (&m)[6], float (&y)[4]) {
  const float sum1 = m[1] + m[2], difference1 = m[1] - m[2];
  const float sum2 = m[3] + m[4], difference2 = m[3] - m[4];
  y[0] = m[0] + sum1 + sum2;
  y[1] = difference1 + 2.0f * difference2;
  y[2] = sum1 + 4.0f * sum2;
  y[3] = difference1 + 8.0f * difference2 + m[5];
}

AF_KERNEL void __launch_bounds__(winograd_threads)
    winograd_weights_fp32(AF_PARAM WinogradWeightsParams p) {
  const long long first = static_cast<long long>(blockIdx.x) * winograd_threads;
  if (first + threadIdx.x >= p.items) return;
  const Split at = split(first, threadIdx.x, p.by_c_in);
  const float* from = static_cast<const float*>(p.weights) +
                      static_cast<long long>(at.quotient) * 9 * p.c_in + at.remainder;
  float half[6][3];  // G w
  AF_UNROLL
  for (int column = 0; column < 3; ++column) {
    float w[3], y[6];
    AF_UNROLL
    for (int row = 0; row < 3; ++row) w[row] = from[(row * 3 + column) * p.c_in];
    winograd_weights(w, y);
    AF_UNROLL
    for (int row = 0; row < 6; ++row) half[row][column] = y[row];
  }
  float* to = static_cast<float*>(p.output) + first + threadIdx.x;
  AF_UNROLL
  for (int row = 0; row < 6; ++row) {
    float y[6];
    winograd_weights(half[row], y);
    AF_UNROLL
    for (int column = 0; column < 6; ++column) to[(row * 6 + column) * p.items] = y[column];
  }
}

AF_KERNEL void __launch_bounds__(winograd_threads)
    winograd_input_fp32(AF_PARAM WinogradInputParams p) {
  const ConvGeometry& g = p.conv;
  const long long first = static_cast<long long>(blockIdx.x) * winograd_threads;
  if (first + threadIdx.x >= p.items) return;
  const Split at = split(first, threadIdx.x, p.by_c_in);
  const PixelOrigin origin = tile_origin(p.tile, at.quotient);
  const int top = origin.row - g.pad_top, left = origin.column - g.pad_left;
  // Of the patch's first pixel, which padding may put before the input: never read then.
  const float* corner =
      static_cast<const float*>(p.input) + input_pixel(g, origin.image, top, left) + at.remainder;
  float half[6][6];  // B' x
  AF_UNROLL
  for (int column = 0; column < 6; ++column) {
    float x[6], y[6];
    AF_UNROLL
    for (int row = 0; row < 6; ++row) {
      x[row] = inside(top + row, g.h_in) && inside(left + column, g.w_in)
                   ? corner[(row * g.w_in + column) * g.c_in]
                   : 0.0f;
    }
    winograd_input(x, y);
    AF_UNROLL
    for (int row = 0; row < 6; ++row) half[row][column] = y[row];
  }
  float* to = static_cast<float*>(p.output) +
              static_cast<long long>(at.quotient) * winograd_points * g.c_in + at.remainder;
  AF_UNROLL
  for (int row = 0; row < 6; ++row) {
    float y[6];
    winograd_input(half[row], y);
    AF_UNROLL
    for (int column = 0; column < 6; ++column) to[(row * 6 + column) * g.c_in] = y[column];
  }
}

AF_KERNEL void __launch_bounds__(winograd_threads)
    winograd_output_fp32(AF_PARAM WinogradOutputParams p) {
  const ConvGeometry& g = p.conv;
  const long long first = static_cast<long long>(blockIdx.x) * winograd_threads;
  if (first + threadIdx.x >= p.items) return;
  const Split at = split(first, threadIdx.x, p.by_c_out);
  const PixelOrigin origin = tile_origin(p.tile, at.quotient);
  const float* from = static_cast<const float*>(p.input) +
                      static_cast<long long>(at.quotient) * winograd_points * g.c_out +
                      at.remainder;
  float half[4][6];  // A' m
  AF_UNROLL
  for (int column = 0; column < 6; ++column) {
    float m[6], y[4];
    AF_UNROLL
    for (int row = 0; row < 6; ++row) m[row] = from[(row * 6 + column) * g.c_out];
    winograd_output(m, y);
    AF_UNROLL
    for (int row = 0; row < 4; ++row) half[row][column] = y[row];
  }
  const float bias = p.bias != nullptr ? static_cast<const float*>(p.bias)[at.remainder] : 0.0f;
  AF_UNROLL
  for (int row = 0; row < 4; ++row) {
    if (origin.row + row >= g.h_out) continue;
    float y[4];
    winograd_output(half[row], y);
    float* to = static_cast<float*>(p.output) +
                output_pixel(g, origin.image, origin.row + row, origin.column) + at.remainder;
    AF_UNROLL
    for (int column = 0; column < 4; ++column) {
      if (origin.column + column < g.w_out) {
        to[column * g.c_out] = activate(y[column] + bias, g.activation);
      }
    }
  }
}

}  // namespace alphaflops::cuda
