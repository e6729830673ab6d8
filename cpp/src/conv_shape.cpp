// What a convolution's shape implies, and which shapes no convolution has.
#include <string>
#include <utility>

#include "alphaflops/conv.hpp"
#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

int64_t positive(int64_t value, const char* field) {
  if (value < 1) {
    throw ShapeError(std::string("conv2d: ") + field + " is " + std::to_string(value) +
                     "; it must be 1 or more");
  }
  return value;
}

int64_t not_negative(int64_t value, const char* field) {
  if (value < 0) {
    throw ShapeError(std::string("conv2d: ") + field + " is " + std::to_string(value) +
                     "; it must be 0 or more");
  }
  return value;
}

int64_t output_size(int64_t in, int64_t kernel, int64_t stride, int64_t before, int64_t after,
                    int64_t dilation, const char* axis) {
  const std::string suffix = std::string("_") + axis;
  positive(in, (axis + std::string("_in")).c_str());
  positive(kernel, ("k" + suffix).c_str());
  positive(stride, ("stride" + suffix).c_str());
  positive(dilation, ("dilation" + suffix).c_str());
  not_negative(before, *axis == 'h' ? "pad_top" : "pad_left");
  not_negative(after, *axis == 'h' ? "pad_bottom" : "pad_right");
  const int64_t padded =
      checked_add(checked_add(in, before, "conv2d padded size"), after, "conv2d padded size");
  const int64_t extent = checked_add(checked_mul(kernel - 1, dilation, "conv2d kernel extent"), 1,
                                     "conv2d kernel extent");
  if (extent > padded) {
    throw ShapeError("conv2d: k" + suffix + " " + std::to_string(kernel) + " with dilation " +
                     std::to_string(dilation) + " spans " + std::to_string(extent) +
                     ", more than the padded input of " + std::to_string(padded));
  }
  return (padded - extent) / stride + 1;
}

}  // namespace

std::string_view to_string(ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::automatic: return "automatic";
    case ConvAlgorithm::direct: return "direct";
    case ConvAlgorithm::gemm: return "gemm";
    case ConvAlgorithm::depthwise: return "depthwise";
    case ConvAlgorithm::winograd2: return "winograd2";
    case ConvAlgorithm::winograd4: return "winograd4";
    case ConvAlgorithm::grouped: return "grouped";
  }
  return "unknown";
}

int64_t Conv2dShape::h_out() const {
  return output_size(h_in, k_h, stride_h, pad_top, pad_bottom, dilation_h, "h");
}

int64_t Conv2dShape::w_out() const {
  return output_size(w_in, k_w, stride_w, pad_left, pad_right, dilation_w, "w");
}

int64_t Conv2dShape::macs() const {
  positive(batch, "batch");
  positive(c_in, "c_in");
  positive(c_out, "c_out");
  positive(groups, "groups");
  for (const auto& [channels, field] : {std::pair{c_in, "c_in"}, std::pair{c_out, "c_out"}}) {
    if (channels % groups != 0) {
      throw ShapeError("conv2d: groups " + std::to_string(groups) + " does not divide " + field +
                       " " + std::to_string(channels));
    }
  }
  int64_t macs = checked_mul(batch, h_out(), "conv2d macs");
  for (int64_t factor : {w_out(), c_out, c_in / groups, k_h, k_w}) {
    macs = checked_mul(macs, factor, "conv2d macs");
  }
  return macs;
}

}  // namespace alphaflops
