// What the microbenchmark times: a graph's convolutions, how much they do, what memory there is.
#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <variant>

#include "alphaflops/conv_bench.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/system.hpp"
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

/// The number after `key` in a file of words, or the file's first number for an empty key; -1.
std::int64_t number_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    if (!key.empty() && word != key) continue;
    if (!key.empty() && !(file >> word)) break;
    std::int64_t value = -1;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    return error == std::errc{} ? value : -1;
  }
  return -1;
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

std::int64_t available_memory_bytes() {
  std::int64_t bytes = system_info().memory_bytes;
  if (const std::int64_t kib = number_in("/proc/meminfo", "MemAvailable:"); kib >= 0) {
    bytes = std::min(bytes, kib << 10);
  }
  const std::int64_t most = number_in("/sys/fs/cgroup/memory.max", "");
  const std::int64_t used = number_in("/sys/fs/cgroup/memory.current", "");
  const std::int64_t cache = number_in("/sys/fs/cgroup/memory.stat", "inactive_file");
  if (most >= 0 && used >= 0) {
    bytes =
        std::min(bytes, std::max<std::int64_t>(0, most - used + std::max<std::int64_t>(0, cache)));
  }
  return std::max<std::int64_t>(bytes, 1 << 20);
}

}  // namespace alphaflops
