// Depthwise convolution, and that of narrow groups: a tile of a row at a time, all channels.
#include <cstdint>

#include "conv_driver.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

constexpr int64_t kMaxColumns = (kernels::kDepthwisePixels - 1) * kernels::kDepthwiseStrides + 7;

using Tiles = kernels::Depthwise[kernels::kDepthwisePixels + 1];

bool is_tiled(const Conv2dShape& s) {
  return (s.k_w == 3 || s.k_w == 5 || s.k_w == 7) && s.k_h <= kDepthwiseRows &&
         s.stride_w <= kernels::kDepthwiseStrides && s.dilation_w == 1;
}

kernels::DepthwiseArgs arguments(const ConvPlan& plan, const ConvCall<float, float>& call) {
  const Conv2dShape& s = plan.shape;
  kernels::DepthwiseArgs args{};
  args.input_row = s.dilation_h * s.w_in * s.c_in;
  args.input_pixel = s.dilation_w * s.c_in;
  args.bias = call.bias;
  args.channels = s.c_in;
  args.low = call.clamp.low;
  args.high = call.clamp.high;
  return args;
}

// Rows in tiles of several pixels, `interior` ones (which may be null) where no padding is reached;
// `args` has what `arguments` sets, and the weights' strides.
void run_tiles(const ConvPlan& plan, const Tiles* interior, const Tiles& border,
               const ConvCall<float, float>& call, const ConvPart& part,
               kernels::DepthwiseArgs args) {
  const Conv2dShape& s = plan.shape;
  const float* zeros = call.packed + plan.packed_size - plan.group_vectors * plan.lanes;
  const float* columns[kDepthwiseRows * kMaxColumns];
  args.columns = columns;
  const int64_t tiles = ceil_div(plan.w_out, kernels::kDepthwisePixels);
  for (int64_t out_row = part.unit_first; out_row < part.unit_last; ++out_row) {
    const int64_t image = out_row / plan.h_out;
    const int64_t y = out_row % plan.h_out;
    const Taps rows = taps_of(y, s.h_in, s.k_h, s.stride_h, s.pad_top, s.dilation_h);
    const int64_t in_y = y * s.stride_h - s.pad_top + rows.first * s.dilation_h;
    const int64_t in_row = (image * s.h_in + in_y) * s.w_in;
    args.rows = rows.last - rows.first;
    args.weights = call.packed + rows.first * args.weight_row;
    args.output = call.output + out_row * plan.w_out * s.c_out;
    int64_t x = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t pixels = plan.w_out / tiles + (tile < plan.w_out % tiles ? 1 : 0);
      const int64_t in_x = x * s.stride_w - s.pad_left;
      const int64_t span = (pixels - 1) * s.stride_w + s.k_w;
      if (interior != nullptr && in_x >= 0 && in_x + span <= s.w_in && args.rows > 0) {
        args.input = call.input + (in_row + in_x) * s.c_in;
        (*interior)[pixels](&args);
      } else {
        const float** each = columns;
        for (int64_t row = 0; row < args.rows; ++row) {
          for (int64_t column = in_x; column < in_x + span; ++column) {
            *each++ = column < 0 || column >= s.w_in
                          ? zeros
                          : call.input + (in_row + row * s.dilation_h * s.w_in + column) * s.c_in;
          }
        }
        args.input = call.input;
        border[pixels](&args);
      }
      args.output += pixels * s.c_out;
      x += pixels;
    }
  }
}

// Any kernel, a pixel at a time.
void run_single(const ConvPlan& plan, kernels::Depthwise single, const ConvCall<float, float>& call,
                const ConvPart& part, kernels::DepthwiseArgs args) {
  const Conv2dShape& s = plan.shape;
  for (int64_t out_row = part.unit_first; out_row < part.unit_last; ++out_row) {
    const int64_t image = out_row / plan.h_out;
    const int64_t y = out_row % plan.h_out;
    const Taps rows = taps_of(y, s.h_in, s.k_h, s.stride_h, s.pad_top, s.dilation_h);
    const int64_t in_y = y * s.stride_h - s.pad_top + rows.first * s.dilation_h;
    args.rows = rows.last - rows.first;
    args.output = call.output + out_row * plan.w_out * s.c_out;
    for (int64_t x = 0; x < plan.w_out; ++x) {
      const Taps taps = taps_of(x, s.w_in, s.k_w, s.stride_w, s.pad_left, s.dilation_w);
      const int64_t in_x = x * s.stride_w - s.pad_left + taps.first * s.dilation_w;
      const bool empty = taps.first == taps.last || args.rows == 0;
      args.taps = empty ? 0 : taps.last - taps.first;
      args.weights = call.packed + rows.first * args.weight_row +
                     (empty ? 0 : taps.first * args.weight_column);
      args.input =
          empty ? call.input : call.input + ((image * s.h_in + in_y) * s.w_in + in_x) * s.c_in;
      single(&args);
      args.output += s.c_out;
    }
  }
}

}  // namespace

void run_depthwise(const ConvPlan& plan, const kernels::DepthwiseTable& table,
                   const ConvCall<float, float>& call, const ConvPart& part) {
  const Conv2dShape& s = plan.shape;
  kernels::DepthwiseArgs args = arguments(plan, call);
  args.weight_column = plan.group_vectors * plan.lanes;
  args.weight_row = s.k_w * args.weight_column;
  if (!is_tiled(s)) {
    run_single(plan, table.single, call, part, args);
    return;
  }
  const int64_t width = (s.k_w - 3) / 2;
  run_tiles(plan, &table.interior[width][s.stride_w - 1], table.border[width][s.stride_w - 1], call,
            part, args);
}

void run_grouped(const ConvPlan& plan, const kernels::GroupedTable& table,
                 const ConvCall<float, float>& call, const ConvPart& part) {
  const Conv2dShape& s = plan.shape;
  kernels::DepthwiseArgs args = arguments(plan, call);
  args.weight_row = s.k_w * plan.group_in * plan.lanes;
  args.weight_column = s.k_h * args.weight_row;
  const int64_t size = plan.group_in == 2 ? 0 : plan.group_in == 4 ? 1 : 2;
  run_tiles(plan, nullptr, table.tile[size][s.stride_w - 1], call, part, args);
}

}  // namespace alphaflops
