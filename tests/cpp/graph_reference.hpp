// Runs a graph node by node in double, NCHW: what the executor is held against.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <variant>
#include <vector>

#include "activation_reference.hpp"
#include "alphaflops/executor.hpp"
#include "alphaflops/graph.hpp"

namespace check {

using namespace alphaflops;

using Tensor = std::vector<double>;

class Reference {
 public:
  Reference(const Graph& graph, const Executor& executor) : graph_(graph), executor_(executor) {}

  Tensor run(const std::vector<Tensor>& inputs) {
    std::vector<Tensor> tensors;
    std::size_t next_input = 0;
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (std::holds_alternative<Input>(node.op)) {
        tensors.push_back(inputs[next_input++]);
        continue;
      }
      std::vector<const Tensor*> operands;
      for (const int x : node.inputs) operands.push_back(&tensors[static_cast<std::size_t>(x)]);
      tensors.push_back(compute(static_cast<int>(i), node, operands));
    }
    return tensors.back();
  }

 private:
  Tensor compute(int index, const Node& node, const std::vector<const Tensor*>& operands) {
    const Shape& in = graph_.node(node.inputs[0]).shape;
    const Tensor& x = *operands[0];
    const std::vector<float> w = executor_.weights(index);
    const std::vector<float> b = executor_.shift(index);
    if (const auto* conv = std::get_if<Conv2dOp>(&node.op))
      return convolve(x, in, node, *conv, w, b);
    if (const auto* pool = std::get_if<PoolOp>(&node.op)) return pool2d(x, in, node, *pool);
    Tensor y(static_cast<std::size_t>(element_count(node.shape)));
    if (std::holds_alternative<LinearOp>(node.op)) {
      const auto k = static_cast<std::size_t>(in.back());
      const auto m = static_cast<std::size_t>(node.shape.back());
      for (std::size_t i = 0; i < y.size(); ++i) {
        double sum = b.empty() ? 0.0 : static_cast<double>(b[i % m]);
        for (std::size_t j = 0; j < k; ++j)
          sum += x[i / m * k + j] * static_cast<double>(w[i % m * k + j]);
        y[i] = sum;
      }
    } else if (std::holds_alternative<BatchNormOp>(node.op)) {
      const std::size_t pixels = per_channel(in);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t c = i / pixels % w.size();
        y[i] = x[i] * static_cast<double>(w[c]) + static_cast<double>(b[c]);
      }
    } else if (const auto* f = std::get_if<ActivationOp>(&node.op)) {
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = activated(f->activation, x[i]);
    } else if (std::holds_alternative<GlobalPoolOp>(node.op)) {
      const std::size_t pixels = per_channel(in);
      for (std::size_t i = 0; i < x.size(); ++i)
        y[i / pixels] += x[i] / static_cast<double>(pixels);
    } else if (std::holds_alternative<AddOp>(node.op)) {
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] + (*operands[1])[i];
    } else if (std::holds_alternative<MulOp>(node.op)) {
      const std::size_t repeat = x.size() / operands[1]->size();
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] * (*operands[1])[i / repeat];
    } else if (std::holds_alternative<ConcatOp>(node.op)) {
      concatenate(node, operands, y);
    } else if (std::holds_alternative<FlattenOp>(node.op)) {
      y = x;
    } else if (std::holds_alternative<SoftmaxOp>(node.op)) {
      soften(x, in, y);
    }
    return y;
  }

  static std::size_t per_channel(const Shape& s) {
    return s.size() == 4 ? static_cast<std::size_t>(s[2] * s[3]) : 1;
  }

  static Tensor convolve(const Tensor& x, const Shape& in, const Node& node, const Conv2dOp& op,
                         const std::vector<float>& w, const std::vector<float>& b) {
    const Shape& out = node.shape;
    const Window& win = op.window;
    const std::int64_t gi = in[1] / op.groups, go = out[1] / op.groups;
    Tensor y(static_cast<std::size_t>(element_count(out)));
    std::size_t at = 0;
    for (std::int64_t n = 0; n < out[0]; ++n)
      for (std::int64_t o = 0; o < out[1]; ++o)
        for (std::int64_t p = 0; p < out[2]; ++p)
          for (std::int64_t q = 0; q < out[3]; ++q, ++at) {
            double sum = b.empty() ? 0.0 : static_cast<double>(b[static_cast<std::size_t>(o)]);
            for (std::int64_t i = 0; i < gi; ++i)
              for (std::int64_t r = 0; r < win.kernel[0]; ++r)
                for (std::int64_t s = 0; s < win.kernel[1]; ++s) {
                  const std::int64_t h = p * win.stride[0] + r * win.dilation[0] - win.pad[0];
                  const std::int64_t v = q * win.stride[1] + s * win.dilation[1] - win.pad[2];
                  if (h < 0 || h >= in[2] || v < 0 || v >= in[3]) continue;
                  const std::int64_t c = o / go * gi + i;
                  sum += x[static_cast<std::size_t>(((n * in[1] + c) * in[2] + h) * in[3] + v)] *
                         static_cast<double>(w[static_cast<std::size_t>(
                             ((o * gi + i) * win.kernel[0] + r) * win.kernel[1] + s)]);
                }
            y[at] = sum;
          }
    return y;
  }

  static Tensor pool2d(const Tensor& x, const Shape& in, const Node& node, const PoolOp& op) {
    const Shape& out = node.shape;
    const Window& win = op.window;
    Tensor y(static_cast<std::size_t>(element_count(out)));
    std::size_t at = 0;
    for (std::int64_t plane = 0; plane < out[0] * out[1]; ++plane)
      for (std::int64_t p = 0; p < out[2]; ++p)
        for (std::int64_t q = 0; q < out[3]; ++q, ++at) {
          double most = -std::numeric_limits<double>::infinity(), sum = 0.0;
          std::int64_t inside = 0, padded = 0;
          for (std::int64_t r = 0; r < win.kernel[0]; ++r)
            for (std::int64_t s = 0; s < win.kernel[1]; ++s) {
              const std::int64_t h = p * win.stride[0] + r - win.pad[0];
              const std::int64_t v = q * win.stride[1] + s - win.pad[2];
              if (h < in[2] + win.pad[1] && v < in[3] + win.pad[3]) ++padded;
              if (h < 0 || h >= in[2] || v < 0 || v >= in[3]) continue;
              const double value = x[static_cast<std::size_t>((plane * in[2] + h) * in[3] + v)];
              most = std::max(most, value);
              sum += value;
              ++inside;
            }
          y[at] = op.kind == PoolOp::Kind::max
                      ? most
                      : sum / static_cast<double>(op.count_include_pad ? padded : inside);
        }
    return y;
  }

  void concatenate(const Node& node, const std::vector<const Tensor*>& operands, Tensor& y) const {
    std::size_t at = 0;
    const auto batch = static_cast<std::size_t>(node.shape[0]);
    for (std::size_t n = 0; n < batch; ++n)
      for (const Tensor* each : operands) {
        const std::size_t part = each->size() / batch;
        for (std::size_t i = 0; i < part; ++i) y[at++] = (*each)[n * part + i];
      }
  }

  static void soften(const Tensor& x, const Shape& in, Tensor& y) {
    const std::size_t step = per_channel(in);
    const auto count = static_cast<std::size_t>(in.size() == 4 ? in[1] : in.back());
    for (std::size_t block = 0; block < x.size(); block += count * step)
      for (std::size_t p = 0; p < step; ++p) {
        double sum = 0.0;
        for (std::size_t c = 0; c < count; ++c) sum += std::exp(x[block + c * step + p]);
        for (std::size_t c = 0; c < count; ++c) {
          y[block + c * step + p] = std::exp(x[block + c * step + p]) / sum;
        }
      }
  }

  const Graph& graph_;
  const Executor& executor_;
};

/// An NHWC (or flat) buffer in the graph's own order.
inline Tensor to_nchw(std::span<const float> values, const Shape& s) {
  Tensor result(values.begin(), values.end());
  if (s.size() != 4) return result;
  for (std::int64_t n = 0; n < s[0]; ++n)
    for (std::int64_t c = 0; c < s[1]; ++c)
      for (std::int64_t p = 0; p < s[2] * s[3]; ++p) {
        result[static_cast<std::size_t>((n * s[1] + c) * s[2] * s[3] + p)] =
            static_cast<double>(values[static_cast<std::size_t>((n * s[2] * s[3] + p) * s[1] + c)]);
      }
  return result;
}

}  // namespace check
