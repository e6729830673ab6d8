// What the microbenchmark times: a graph's convolutions, and how much they do.
#include <algorithm>
#include <string>
#include <variant>

#include "alphaflops/conv_bench.hpp"
#include "alphaflops/error.hpp"
#include "executor_step.hpp"

namespace alphaflops {
namespace {

std::int64_t rows_of(const Shape& shape) {
  return element_count(Shape(shape.begin(), shape.end() - 1));
}

/// Pairs of an output and a kernel tap, along one axis, that reach an input.
std::int64_t inner_taps(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                        std::int64_t dilation, std::int64_t pad) {
  std::int64_t pairs = 0;
  for (std::int64_t tap = 0; tap < kernel; ++tap) {
    const std::int64_t shift = pad - tap * dilation;  // output p reads input p * stride - shift
    const std::int64_t first = shift > 0 ? (shift + stride - 1) / stride : 0;
    const std::int64_t reach = in - 1 + shift;
    const std::int64_t last = reach >= 0 ? std::min(out, reach / stride + 1) : 0;
    pairs += std::max<std::int64_t>(0, last - first);
  }
  return pairs;
}

}  // namespace

std::vector<ConvLayer> conv_layers(const Graph& graph) {
  std::vector<ConvLayer> layers;
  for (const Node& node : graph.nodes()) {
    ConvLayer layer{node.name, std::string(op_name(node.op)), {}};
    if (const auto* conv = std::get_if<Conv2dOp>(&node.op)) {
      layer.shape = conv_shape(graph.node(node.inputs[0]).shape, *conv);
    } else if (const auto* linear = std::get_if<LinearOp>(&node.op)) {
      const Shape& in = graph.node(node.inputs[0]).shape;
      layer.shape.batch = rows_of(in);
      layer.shape.c_in = in.back();
      layer.shape.c_out = linear->out_features;
    } else {
      continue;
    }
    layers.push_back(std::move(layer));
  }
  return layers;
}

std::int64_t macs_without_padding(const Conv2dShape& s) {
  s.macs();  // raises; what follows is no more
  return s.batch * (s.c_in / s.groups) * s.c_out *
         inner_taps(s.h_in, s.h_out(), s.k_h, s.stride_h, s.dilation_h, s.pad_top) *
         inner_taps(s.w_in, s.w_out(), s.k_w, s.stride_w, s.dilation_w, s.pad_left);
}

}  // namespace alphaflops
