#include "parameters.hpp"

#include <cmath>
#include <string>
#include <utility>

#include "alphaflops/error.hpp"
#include "memory.hpp"

namespace alphaflops {
namespace {

constexpr float shift_amplitude = 0.1F;
constexpr float scale_spread = 0.1F;

std::vector<float> uniform(std::int64_t count, float amplitude, std::uint64_t seed, int node,
                           std::uint64_t role) {
  std::vector<float> values(static_cast<std::size_t>(count));
  fill_uniform(values, amplitude, (seed << 32) + 2 * static_cast<std::uint64_t>(node) + role);
  return values;
}

/// The order of a linear layer's columns, from channel by channel to pixel by pixel.
std::vector<float> pixel_major(const std::vector<float>& weights, std::int64_t rows,
                               std::int64_t columns, std::int64_t pixels) {
  const std::int64_t channels = columns / pixels;
  std::vector<float> result(weights.size());
  for (std::int64_t row = 0; row < rows; ++row) {
    const float* from = weights.data() + row * columns;
    float* to = result.data() + row * columns;
    for (std::int64_t p = 0; p < pixels; ++p) {
      for (std::int64_t c = 0; c < channels; ++c) to[p * channels + c] = from[c * pixels + p];
    }
  }
  return result;
}

/// Whether channels last, as images lie in memory, is another order than the graph's.
bool lies_as_image(const Shape& shape) {
  return shape.size() == 4 && shape[1] > 1 && shape[2] * shape[3] > 1;
}

/// The pixels of a view of a tensor that has `pixels` itself.
std::int64_t viewed_pixels(const Node& view, const Shape& in, std::int64_t pixels) {
  if (view.shape == in) return pixels;
  if (lies_as_image(in)) pixels = in[2] * in[3];
  const bool flattens = view.shape.size() == 2 && view.shape[0] == in[0];
  if (flattens || (pixels == 1 && !lies_as_image(view.shape))) return pixels;
  throw UnsupportedError(view.name + ": a view of " + describe(in) + " as " + describe(view.shape) +
                         " has no native kernel; the channels of an image lie last in memory, and "
                         "only views of the same shape or as [batch, features] are run");
}

}  // namespace

std::vector<float> node_weights(const Graph& graph, int index, std::uint64_t seed) {
  const Node& node = graph.node(index);
  if (node.inputs.empty()) return {};
  const Shape& in = graph.node(node.inputs[0]).shape;
  if (std::holds_alternative<BatchNormOp>(node.op)) {
    std::vector<float> scale = uniform(in[1], scale_spread, seed, index, 0);
    for (float& value : scale) value += 1.0F;
    return scale;
  }
  std::int64_t outputs = 0, fan_in = 0;
  if (const auto* conv = std::get_if<Conv2dOp>(&node.op)) {
    outputs = conv->c_out;
    fan_in = in[1] / conv->groups * conv->window.kernel[0] * conv->window.kernel[1];
  } else if (const auto* linear = std::get_if<LinearOp>(&node.op)) {
    outputs = linear->out_features;
    fan_in = in.back();
  } else {
    return {};
  }
  // A uniform on [-a, a) has variance a^2 / 3.
  const float amplitude = std::sqrt(6.0F / static_cast<float>(fan_in));
  return uniform(checked_mul(outputs, fan_in, node.name.c_str()), amplitude, seed, index, 0);
}

std::vector<float> node_shift(const Graph& graph, int index, std::uint64_t seed) {
  const Node& node = graph.node(index);
  std::int64_t count = 0;
  if (const auto* conv = std::get_if<Conv2dOp>(&node.op)) {
    count = conv->bias ? conv->c_out : 0;
  } else if (const auto* linear = std::get_if<LinearOp>(&node.op)) {
    count = linear->bias ? linear->out_features : 0;
  } else if (std::holds_alternative<BatchNormOp>(node.op)) {
    count = node.shape[1];
  }
  return uniform(count, shift_amplitude, seed, index, 1);
}

RowParameters row_parameters(const Graph& graph, int lead, const std::vector<int>& folded,
                             std::int64_t pixels, std::uint64_t seed) {
  RowParameters result{node_weights(graph, lead, seed), node_shift(graph, lead, seed)};
  for (const int node : folded) {
    if (!std::holds_alternative<BatchNormOp>(graph.node(node).op)) continue;
    const std::vector<float> scale = node_weights(graph, node, seed);
    const std::vector<float> shift = node_shift(graph, node, seed);
    if (result.shift.empty()) result.shift.resize(scale.size());
    const std::size_t fan_in = result.weights.size() / scale.size();
    for (std::size_t o = 0; o < scale.size(); ++o) {
      for (std::size_t i = 0; i < fan_in; ++i) result.weights[o * fan_in + i] *= scale[o];
      result.shift[o] = result.shift[o] * scale[o] + shift[o];
    }
  }
  if (pixels > 1 && std::holds_alternative<LinearOp>(graph.node(lead).op)) {
    const std::int64_t columns = graph.node(graph.node(lead).inputs[0]).shape.back();
    const std::int64_t rows = static_cast<std::int64_t>(result.weights.size()) / columns;
    result.weights = pixel_major(result.weights, rows, columns, pixels);
  }
  return result;
}

std::vector<std::int64_t> flattened_pixels(const Graph& graph) {
  std::vector<std::int64_t> pixels(graph.nodes().size(), 1);
  for (std::size_t i = 0; i < pixels.size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.inputs.empty()) continue;
    const Shape& in = graph.node(node.inputs[0]).shape;
    const std::int64_t before = pixels[static_cast<std::size_t>(node.inputs[0])];
    if (std::holds_alternative<FlattenOp>(node.op)) {
      pixels[i] = viewed_pixels(node, in, before);
      continue;
    }
    if (std::holds_alternative<LinearOp>(node.op)) continue;
    if (std::holds_alternative<ActivationOp>(node.op) ||
        std::holds_alternative<SoftmaxOp>(node.op)) {
      pixels[i] = before;
      continue;
    }
    for (const int x : node.inputs) {
      if (pixels[static_cast<std::size_t>(x)] == 1) continue;
      throw UnsupportedError(node.name + ": a " + std::string(op_name(node.op)) +
                             " of a flattened image has no native kernel; only linear, softmax and "
                             "activations do");
    }
  }
  return pixels;
}

}  // namespace alphaflops
