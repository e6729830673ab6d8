// Shapes of what slides windows over images: convolutions, pools; and batch normalisation.
#include <utility>

#include "sizes.hpp"

namespace alphaflops {
namespace {

std::int64_t window_extent(const std::string& name, const char* axis, std::int64_t in,
                           std::int64_t kernel, std::int64_t stride, std::int64_t pad_before,
                           std::int64_t pad_after, std::int64_t dilation, bool ceil_mode) {
  const std::string what = name + ": " + axis;
  const std::int64_t padded =
      checked_add(in, checked_add(pad_before, pad_after, what.c_str()), what.c_str());
  const std::int64_t reach =
      checked_add(checked_mul(dilation, kernel - 1, what.c_str()), 1, what.c_str());
  if (reach > padded) {
    throw ShapeError(name + ": the kernel spans " + std::to_string(reach) + " elements along " +
                     axis + " but the padded input has " + std::to_string(padded) +
                     "; use a smaller kernel or dilation, or more padding");
  }
  const std::int64_t room = padded - reach;
  std::int64_t out = room / stride + 1;
  if (ceil_mode && room % stride != 0 && out <= (in + pad_before - 1) / stride) ++out;
  return out;
}

void require_channels(const std::string& name, std::int64_t c_in, std::int64_t c_out,
                      std::int64_t groups) {
  require_at_least(name, "c_out", c_out, 1);
  require_at_least(name, "groups", groups, 1);
  if (c_in % groups != 0 || c_out % groups != 0) {
    throw ShapeError(name + ": groups " + std::to_string(groups) + " must divide c_in " +
                     std::to_string(c_in) + " and c_out " + std::to_string(c_out));
  }
}

void require_window(const std::string& name, const AxisWindow& w) {
  require_at_least(name, "kernel", w.kernel, 1);
  require_at_least(name, "stride", w.stride, 1);
  require_at_least(name, "dilation", w.dilation, 1);
  require_at_least(name, "padding before", w.pad_before, 0);
  require_at_least(name, "padding after", w.pad_after, 0);
  require_at_least(name, "output padding", w.output_padding, 0);
}

std::int64_t axis_extent(const std::string& name, std::size_t axis, std::int64_t in,
                         const AxisWindow& w, bool ceil_mode) {
  require_window(name, w);
  return window_extent(name, ("axis " + std::to_string(axis + 2)).c_str(), in, w.kernel, w.stride,
                       w.pad_before, w.pad_after, w.dilation, ceil_mode);
}

}  // namespace

std::int64_t transposed_extent(const std::string& name, std::int64_t in, const AxisWindow& w) {
  require_window(name, w);
  const char* what = name.c_str();
  const std::int64_t reach = checked_add(checked_mul(w.dilation, w.kernel - 1, what), 1, what);
  const std::int64_t full = checked_add(
      checked_add(checked_mul(in - 1, w.stride, what), reach, what), w.output_padding, what);
  const std::int64_t padding = checked_add(w.pad_before, w.pad_after, what);
  if (padding >= full) {
    throw ShapeError(name + ": padding of " + std::to_string(padding) + " leaves nothing of " +
                     std::to_string(full) + " elements; use less padding");
  }
  if (w.output_padding >= w.stride && w.output_padding >= w.dilation) {
    throw ShapeError(name + ": output padding is " + std::to_string(w.output_padding) +
                     "; it must be below stride or dilation");
  }
  return full - padding;
}

std::array<std::int64_t, 2> output_extent(const std::string& name, std::int64_t h_in,
                                          std::int64_t w_in, const Window& w, bool ceil_mode) {
  require_at_least(name, "h_in", h_in, 1);
  require_at_least(name, "w_in", w_in, 1);
  require_at_least(name, "k_h", w.kernel[0], 1);
  require_at_least(name, "k_w", w.kernel[1], 1);
  require_at_least(name, "stride_h", w.stride[0], 1);
  require_at_least(name, "stride_w", w.stride[1], 1);
  require_at_least(name, "dilation_h", w.dilation[0], 1);
  require_at_least(name, "dilation_w", w.dilation[1], 1);
  constexpr std::array<const char*, 4> pad_names{"pad_top", "pad_bottom", "pad_left", "pad_right"};
  for (std::size_t i = 0; i < 4; ++i) require_at_least(name, pad_names[i], w.pad[i], 0);
  return {window_extent(name, "height", h_in, w.kernel[0], w.stride[0], w.pad[0], w.pad[1],
                        w.dilation[0], ceil_mode),
          window_extent(name, "width", w_in, w.kernel[1], w.stride[1], w.pad[2], w.pad[3],
                        w.dilation[1], ceil_mode)};
}

const Shape& Graph::image_shape(int x, const std::string& name) const {
  const Shape& shape = checked_shape(x, name);
  if (shape.size() != 4) {
    throw ShapeError(name + ": the input has shape " + describe(shape) +
                     "; an image [batch, channels, height, width] is needed");
  }
  return shape;
}

int Graph::conv2d(int x, Conv2dOp op, std::string name) {
  name = name_or_default(std::move(name), "conv2d");
  const Shape& in = image_shape(x, name);
  require_channels(name, in[1], op.c_out, op.groups);
  const auto [h, w] = output_extent(name, in[2], in[3], op.window);
  Shape out{in[0], op.c_out, h, w};
  return append(std::move(name), op, {x}, std::move(out));
}

int Graph::conv_nd(int x, ConvNdOp op, std::string name) {
  name = name_or_default(std::move(name), op_name(op));
  const Shape& in = checked_shape(x, name);
  if (op.axes.empty() || op.axes.size() > 3 || in.size() != op.axes.size() + 2) {
    throw ShapeError(name + ": the input has shape " + describe(in) + " and the kernel " +
                     std::to_string(op.axes.size()) +
                     " axes; [batch, channels] and one to three axes with as many windows are "
                     "needed");
  }
  require_channels(name, in[1], op.c_out, op.groups);
  if (op.axes.size() == 2 && !op.transposed) {
    const AxisWindow &h = op.axes[0], &w = op.axes[1];
    const Window window{.kernel = {h.kernel, w.kernel},
                        .stride = {h.stride, w.stride},
                        .pad = {h.pad_before, h.pad_after, w.pad_before, w.pad_after},
                        .dilation = {h.dilation, w.dilation}};
    return conv2d(x, {op.c_out, window, op.groups, op.bias}, std::move(name));
  }
  Shape out{in[0], op.c_out};
  for (std::size_t i = 0; i < op.axes.size(); ++i) {
    const AxisWindow& axis = op.axes[i];
    const std::int64_t extent = in[i + 2];
    out.push_back(op.transposed ? transposed_extent(name, extent, axis)
                                : axis_extent(name, i, extent, axis, false));
  }
  return append(std::move(name), std::move(op), {x}, std::move(out));
}

int Graph::batch_norm(int x, std::string name) {
  name = name_or_default(std::move(name), "batch_norm");
  Shape out = checked_shape(x, name);
  if (out.size() < 2) {
    throw ShapeError(name + ": the input has shape " + describe(out) +
                     "; channels on axis 1 are needed");
  }
  return append(std::move(name), BatchNormOp{}, {x}, std::move(out));
}

int Graph::pool(int x, PoolOp op, std::string name) {
  name = name_or_default(std::move(name), op_name(op));
  const Shape& in = image_shape(x, name);
  const auto [h, w] = output_extent(name, in[2], in[3], op.window, op.ceil_mode);
  Shape out{in[0], in[1], h, w};
  return append(std::move(name), op, {x}, std::move(out));
}

int Graph::pool_nd(int x, PoolNdOp op, std::string name) {
  name = name_or_default(std::move(name), op_name(op));
  const Shape& in = checked_shape(x, name);
  if (op.axes.empty() || in.size() != op.axes.size() + 2) {
    throw ShapeError(name + ": the input has shape " + describe(in) + " and the window " +
                     std::to_string(op.axes.size()) +
                     " axes; [batch, channels] and as many axes as windows are needed");
  }
  Shape out{in[0], in[1]};
  for (std::size_t i = 0; i < op.axes.size(); ++i) {
    out.push_back(axis_extent(name, i, in[i + 2], op.axes[i], op.ceil_mode));
  }
  return append(std::move(name), std::move(op), {x}, std::move(out));
}

int Graph::adaptive_pool(int x, AdaptivePoolOp op, std::string name) {
  name = name_or_default(std::move(name), op_name(op));
  const Shape& in = checked_shape(x, name);
  if (op.extent.empty() || in.size() != op.extent.size() + 2) {
    throw ShapeError(name + ": the input has shape " + describe(in) + " and the output " +
                     std::to_string(op.extent.size()) +
                     " axes; [batch, channels] and as many axes are needed");
  }
  require_sizes(name, op.extent);
  Shape out{in[0], in[1]};
  out.insert(out.end(), op.extent.begin(), op.extent.end());
  return append(std::move(name), std::move(op), {x}, std::move(out));
}

int Graph::global_avg_pool(int x, std::string name) {
  name = name_or_default(std::move(name), "global_avg_pool");
  const Shape& in = image_shape(x, name);
  Shape out{in[0], in[1], 1, 1};
  return append(std::move(name), GlobalPoolOp{}, {x}, std::move(out));
}

}  // namespace alphaflops
