// Winograd's F(4x4, 3x3): what the plan and the kernels share.
#pragma once

#include "conv_geometry.cuh"

namespace alphaflops::cuda {

inline constexpr int winograd_threads = 128;
inline constexpr int winograd_side = 6;     // of an input tile
inline constexpr int winograd_outputs = 4;  // of an output tile
inline constexpr int winograd_points = winograd_side * winograd_side;

struct WinogradWeightsParams {
  const void* weights;  // [c_out][3][3][c_in]
  void* output;         // [point][c_out][c_in]
  long long items;      // c_out * c_in
  int c_in, c_out;
  FastDivisor by_c_in;
};

struct WinogradInputParams {
  const void* input;
  void* output;     // [tile][point][c_in]
  long long items;  // tiles * c_in
  ConvGeometry conv;
  PixelTile tile;
  FastDivisor by_c_in;
};

struct WinogradOutputParams {
  const void* input;  // [tile][point][c_out]
  const void* bias;   // float; or null
  void* output;
  long long items;  // tiles * c_out
  ConvGeometry conv;
  PixelTile tile;
  FastDivisor by_c_out;
};

}  // namespace alphaflops::cuda
