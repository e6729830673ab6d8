// Checks and drives the streaming operators.
#include "alphaflops/stream.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

#include "alphaflops/error.hpp"
#include "dispatch.hpp"

namespace alphaflops {
namespace {

using std::int64_t;
using std::size_t;

static_assert(activation_count == kernels::kActivations);
// stream.inl numbers them in this order.
static_assert(static_cast<int>(Activation::none) == 0 && static_cast<int>(Activation::relu) == 1 &&
              static_cast<int>(Activation::relu6) == 2 &&
              static_cast<int>(Activation::sigmoid) == 3 &&
              static_cast<int>(Activation::silu) == 4 &&
              static_cast<int>(Activation::hardsigmoid) == 5 &&
              static_cast<int>(Activation::hardswish) == 6 &&
              static_cast<int>(Activation::gelu) == 7 && static_cast<int>(Activation::tanh) == 8);

void at_least(int64_t least, int64_t value, const char* what, const char* field) {
  if (value < least) {
    throw ShapeError(std::string(what) + ": " + field + " is " + std::to_string(value) +
                     "; it must be " + std::to_string(least) + " or more");
  }
}

const kernels::StreamTable& stream(Isa isa) { return *kernels::table(isa).stream; }

int64_t pool_size(int64_t in, int64_t kernel, int64_t stride, int64_t before, int64_t after,
                  bool ceil_mode, const char* axis) {
  const std::string name(axis);
  at_least(1, in, "pool2d", (name + "_in").c_str());
  at_least(1, kernel, "pool2d", ("k_" + name).c_str());
  at_least(1, stride, "pool2d", ("stride_" + name).c_str());
  at_least(0, before, "pool2d", *axis == 'h' ? "pad_top" : "pad_left");
  at_least(0, after, "pool2d", *axis == 'h' ? "pad_bottom" : "pad_right");
  const int64_t padded =
      checked_add(checked_add(in, before, "pool2d padded size"), after, "pool2d padded size");
  if (kernel > padded) {
    throw ShapeError("pool2d: k_" + name + " " + std::to_string(kernel) +
                     " is more than the padded input of " + std::to_string(padded));
  }
  const int64_t room = padded - kernel;
  int64_t out = room / stride + 1;
  if (ceil_mode && room % stride != 0 && out * stride < in + before) ++out;
  return out;
}

}  // namespace

void activate(Isa isa, Activation activation, const float* x, float* y, int64_t n) {
  at_least(0, n, "activate", "n");
  stream(isa).activate[static_cast<size_t>(activation)](x, y, n);
}

void add(Isa isa, const float* a, const float* b, float* y, int64_t n, Activation activation) {
  at_least(0, n, "add", "n");
  stream(isa).add[static_cast<size_t>(activation)](a, b, y, n);
}

void multiply(Isa isa, const float* a, const float* b, float* y, int64_t n, Activation activation) {
  at_least(0, n, "multiply", "n");
  stream(isa).multiply[static_cast<size_t>(activation)](a, b, y, n);
}

void multiply_channels(Isa isa, const float* x, const float* s, float* y, int64_t batch,
                       int64_t pixels, int64_t channels) {
  at_least(0, batch, "multiply_channels", "batch");
  at_least(0, pixels, "multiply_channels", "pixels");
  at_least(0, channels, "multiply_channels", "channels");
  const kernels::StreamTable& table = stream(isa);
  for (int64_t image = 0; image < batch; ++image) {
    const int64_t offset = image * pixels * channels;
    table.multiply_channels(x + offset, s + image * channels, y + offset, pixels, channels);
  }
}

void scale_shift(Isa isa, const float* x, const float* scale, const float* shift, float* y,
                 int64_t pixels, int64_t channels, Activation activation) {
  at_least(0, pixels, "scale_shift", "pixels");
  at_least(0, channels, "scale_shift", "channels");
  stream(isa).scale_shift[static_cast<size_t>(activation)](x, scale, shift, y, pixels, channels);
}

int64_t Pool2dShape::h_out() const {
  return pool_size(h_in, k_h, stride_h, pad_top, pad_bottom, ceil_mode, "h");
}

int64_t Pool2dShape::w_out() const {
  return pool_size(w_in, k_w, stride_w, pad_left, pad_right, ceil_mode, "w");
}

void pool2d(Isa isa, PoolKind kind, const Pool2dShape& shape, const float* x, float* y) {
  const Pool2dShape& s = shape;
  at_least(1, s.batch, "pool2d", "batch");
  at_least(1, s.channels, "pool2d", "channels");
  const int64_t h_out = s.h_out();
  const int64_t w_out = s.w_out();
  const kernels::StreamTable& table = stream(isa);
  const auto pool = kind == PoolKind::max ? table.pool_max : table.pool_average;
  kernels::PoolArgs args{};
  args.channels = s.channels;
  args.column = s.channels;
  args.row = s.w_in * s.channels;
  for (int64_t image = 0; image < s.batch; ++image) {
    for (int64_t out_y = 0; out_y < h_out; ++out_y) {
      const int64_t start_y = out_y * s.stride_h - s.pad_top;
      const int64_t padded_y = std::min(start_y + s.k_h, s.h_in + s.pad_bottom);
      const int64_t first_y = std::max<int64_t>(start_y, 0);
      args.rows = std::max<int64_t>(0, std::min(padded_y, s.h_in) - first_y);
      for (int64_t out_x = 0; out_x < w_out; ++out_x) {
        const int64_t start_x = out_x * s.stride_w - s.pad_left;
        const int64_t padded_x = std::min(start_x + s.k_w, s.w_in + s.pad_right);
        const int64_t first_x = std::max<int64_t>(start_x, 0);
        args.columns = std::max<int64_t>(0, std::min(padded_x, s.w_in) - first_x);
        const bool empty = args.rows == 0 || args.columns == 0;
        const int64_t divisor = s.count_include_pad ? (padded_y - start_y) * (padded_x - start_x)
                                                    : args.rows * args.columns;
        args.scale = empty ? 0.0f : 1.0f / static_cast<float>(divisor);
        args.input = empty ? x : x + ((image * s.h_in + first_y) * s.w_in + first_x) * s.channels;
        if (empty) args.columns = 0;
        args.output = y;
        pool(&args);
        y += s.channels;
      }
    }
  }
}

void global_average_pool(Isa isa, const float* x, float* y, int64_t batch, int64_t pixels,
                         int64_t channels) {
  at_least(1, batch, "global_average_pool", "batch");
  at_least(1, pixels, "global_average_pool", "pixels");
  at_least(1, channels, "global_average_pool", "channels");
  const auto pool = stream(isa).pool_average;
  kernels::PoolArgs args{};
  args.rows = 1;
  args.columns = pixels;
  args.column = channels;
  args.channels = channels;
  args.scale = 1.0f / static_cast<float>(pixels);
  for (int64_t image = 0; image < batch; ++image) {
    args.input = x + image * pixels * channels;
    args.output = y + image * channels;
    pool(&args);
  }
}

void copy_channels(Isa isa, const float* x, float* y, int64_t pixels, int64_t channels,
                   int64_t y_stride, int64_t y_offset) {
  at_least(0, pixels, "copy_channels", "pixels");
  at_least(0, channels, "copy_channels", "channels");
  at_least(0, y_offset, "copy_channels", "y_offset");
  at_least(checked_add(y_offset, channels, "copy_channels"), y_stride, "copy_channels", "y_stride");
  stream(isa).copy_channels(x, y + y_offset, pixels, channels, y_stride);
}

void softmax(Isa isa, const float* x, float* y, int64_t rows, int64_t columns) {
  at_least(0, rows, "softmax", "rows");
  at_least(0, columns, "softmax", "columns");
  const auto row = stream(isa).softmax;
  for (int64_t i = 0; i < rows; ++i) row(x + i * columns, y + i * columns, columns);
}

}  // namespace alphaflops
