// Depthwise convolution: a tile of a row at a time, all channels.
#include <cstdint>

#include "conv_driver.hpp"

namespace alphaflops {

using std::int64_t;

void run_depthwise(const ConvPlan& plan, const kernels::DepthwiseTable& table,
                   const ConvCall<float, float>& call, const ConvPart& part) {
  constexpr int64_t kMaxRows = 8;
  constexpr int64_t kMaxColumns = (kernels::kDepthwisePixels - 1) * kernels::kDepthwiseStrides + 7;
  const Conv2dShape& s = plan.shape;
  const bool tiled = (s.k_w == 3 || s.k_w == 5 || s.k_w == 7) && s.k_h <= kMaxRows &&
                     s.stride_w <= kernels::kDepthwiseStrides && s.dilation_w == 1;
  const int64_t width = plan.group_vectors * plan.lanes;
  const float* zeros = call.packed + s.k_h * s.k_w * width;
  const float* columns[kMaxRows * kMaxColumns];

  kernels::DepthwiseArgs args{};
  args.columns = columns;
  args.input_row = s.dilation_h * s.w_in * s.c_in;
  args.input_pixel = tiled ? s.c_in : s.dilation_w * s.c_in;
  args.weight_column = width;
  args.weight_row = s.k_w * width;
  args.bias = call.bias;
  args.channels = s.c_in;
  args.low = call.clamp.low;
  args.high = call.clamp.high;

  const int64_t tiles =
      ceil_div(plan.w_out, tiled ? int64_t{kernels::kDepthwisePixels} : int64_t{1});
  for (int64_t out_row = part.unit_first; out_row < part.unit_last; ++out_row) {
    const int64_t image = out_row / plan.h_out;
    const int64_t y = out_row % plan.h_out;
    const Taps rows = taps_of(y, s.h_in, s.k_h, s.stride_h, s.pad_top, s.dilation_h);
    const int64_t in_y = y * s.stride_h - s.pad_top + rows.first * s.dilation_h;
    const int64_t in_row = (image * s.h_in + in_y) * s.w_in;
    args.rows = rows.last - rows.first;
    args.output = call.output + out_row * plan.w_out * s.c_out;
    int64_t x = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const int64_t pixels = plan.w_out / tiles + (tile < plan.w_out % tiles ? 1 : 0);
      const int64_t in_x = x * s.stride_w - s.pad_left;
      args.weights = call.packed + rows.first * args.weight_row;
      if (!tiled) {
        const Taps taps = taps_of(x, s.w_in, s.k_w, s.stride_w, s.pad_left, s.dilation_w);
        args.taps = taps.last - taps.first;
        if (args.taps == 0 || args.rows == 0) {
          args.taps = 0;
          args.input = call.input;
        } else {
          args.input = call.input + (in_row + in_x + taps.first * s.dilation_w) * s.c_in;
          args.weights += taps.first * width;
        }
        table.single(&args);
      } else {
        const int64_t span = (pixels - 1) * s.stride_w + s.k_w;
        const int64_t shape = (s.k_w - 3) / 2;
        if (in_x >= 0 && in_x + span <= s.w_in && args.rows > 0) {
          args.input = call.input + (in_row + in_x) * s.c_in;
          table.interior[shape][s.stride_w - 1][pixels](&args);
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
          table.border[shape][s.stride_w - 1][pixels](&args);
        }
      }
      args.output += pixels * s.c_out;
      x += pixels;
    }
  }
}

}  // namespace alphaflops
