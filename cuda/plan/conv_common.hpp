// What the plans of convolution families share.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "../kernels/conv_geometry.cuh"
#include "launch.hpp"
#include "problem.hpp"

namespace alphaflops::cuda {

inline constexpr int line_bytes = 128;  // of channels that a block's lanes read side by side

/// The sizes as kernels have them; nothing where one leaves 31 bits.
inline std::optional<ConvGeometry> geometry(const Problem& problem) {
  const Conv2dShape& s = problem.shape;
  const std::int64_t h_out = s.h_out(), w_out = s.w_out();
  static constexpr std::int64_t most = std::numeric_limits<int>::max() / 2;
  static constexpr std::int64_t longest_tile = 2048;  // pixels along a side, at most
  const auto patch = [](std::int64_t stride) {
    return stride > most ? stride : stride * longest_tile;
  };
  for (const std::int64_t size :
       {s.batch, s.c_in, s.c_out, s.h_in + s.pad_top + s.pad_bottom,
        s.w_in + s.pad_left + s.pad_right, patch(s.stride_h), patch(s.stride_w),
        s.k_h * s.k_w * s.c_in, s.batch * h_out * w_out, s.batch * s.h_in * s.w_in}) {
    if (size > most) return std::nullopt;
  }
  ConvGeometry g{};
  g.batch = int_of(s.batch), g.h_in = int_of(s.h_in), g.w_in = int_of(s.w_in);
  g.c_in = int_of(s.c_in), g.c_out = int_of(s.c_out);
  g.h_out = int_of(h_out), g.w_out = int_of(w_out);
  g.k_h = int_of(s.k_h), g.k_w = int_of(s.k_w);
  g.stride_h = int_of(s.stride_h), g.stride_w = int_of(s.stride_w);
  g.pad_top = int_of(s.pad_top), g.pad_left = int_of(s.pad_left);
  g.dilation_h = int_of(s.dilation_h), g.dilation_w = int_of(s.dilation_w);
  g.groups = int_of(s.groups);
  g.group_in = g.c_in / g.groups, g.group_out = g.c_out / g.groups;
  g.activation = problem.activation == Activation::relu    ? activation_relu
                 : problem.activation == Activation::relu6 ? activation_relu6
                                                           : activation_none;
  return g;
}

inline std::uint32_t offset32(std::size_t offset) { return static_cast<std::uint32_t>(offset); }

/// A launch of one of the forward kernels: input, weights, bias (if any) and output.
template <typename Params>
Launch conv_launch(const Problem& problem, std::string symbol, std::string header,
                   const Params& params) {
  Launch launch;
  launch.symbol = std::move(symbol);
  launch.header = std::move(header);
  launch.parameters = bytes_of(params);
  launch.pointers = {{offset32(offsetof(Params, input)), Buffer::input},
                     {offset32(offsetof(Params, weights)), Buffer::weights},
                     {offset32(offsetof(Params, output)), Buffer::output}};
  if (problem.bias) {
    launch.pointers.push_back({offset32(offsetof(Params, bias)), Buffer::bias});
  }
  return launch;
}

/// The name that kernels without tensor cores have for a dtype: there tf32 is fp32.
inline std::string simt_dtype(DType dtype) {
  return std::string(to_string(dtype == DType::tf32 ? DType::fp32 : dtype));
}

inline Plan one_launch(const Launch& launch, std::string algorithm, std::string tile) {
  Plan plan;
  plan.launches = {launch};
  plan.algorithm = std::move(algorithm);
  plan.tile = std::move(tile);
  return plan;
}

/// Columns of a tile of so many pixels: about as wide as high, a power of two, and no wider than
/// the output needs.
inline int square_width(int pixels, int w_out) {
  int width = 1;
  while (width * width < pixels) width *= 2;
  while (width > 4 && width / 2 >= w_out) width /= 2;
  return width;
}

template <typename Int>
Int divide_up(Int n, Int by) {
  return (n + by - 1) / by;
}

/// What so many bytes take of a workspace, whose parts begin at lines of 256 bytes.
inline std::int64_t aligned(std::int64_t bytes) {
  return divide_up<std::int64_t>(bytes, 256) * 256;
}

}  // namespace alphaflops::cuda
