// The names of buffers, streams and probes, in the order of their enumerators.
#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "alphaflops/error.hpp"
#include "launch.hpp"
#include "problem.hpp"

namespace alphaflops::cuda {

namespace {

constexpr std::array<std::string_view, buffer_count - part_count> buffers{
    "input",           "weights",      "bias", "output",      "workspace",
    "output_gradient", "second_input", "flag", "third_input", "mask"};
constexpr std::array<std::string_view, stream_count> streams{
    "activation", "add",         "subtract", "subtract_from", "multiply",
    "divide",     "scale_shift", "max_pool", "average_pool",  "global_average_pool",
    "layer_norm", "rms_norm",    "softmax",  "concat",        "to_nchw",
    "to_nhwc",    "copy_axes",   "lookup"};
constexpr std::array<std::string_view, function_count> functions{
    "none", "relu",      "relu6",      "sigmoid", "silu",       "hardsigmoid", "hardswish", "gelu",
    "tanh", "gelu_tanh", "leaky_relu", "elu",     "selu",       "softplus",    "mish",      "exp",
    "log",  "erf",       "sqrt",       "rsqrt",   "reciprocal", "abs",         "neg"};
constexpr std::array<std::string_view, cell_count> cells{"rnn", "lstm", "gru"};
constexpr std::array<std::string_view, probe_count> probes{"fma",   "copy",  "read",
                                                           "empty", "flush", "block"};

template <typename Enum, std::size_t size>
Enum parse(std::string_view name, const std::array<std::string_view, size>& names,
           const char* what) {
  std::string known;
  for (std::size_t i = 0; i < size; ++i) {
    if (names[i] == name) {
      return static_cast<Enum>(i);
    }
    known += (i == 0 ? "" : ", ") + std::string(names[i]);
  }
  throw UnsupportedError(std::string(what) + " '" + std::string(name) + "' is not known; use " +
                         known);
}

}  // namespace

std::string to_string(Buffer buffer) {
  const auto number = static_cast<std::size_t>(buffer);
  if (number < buffers.size()) return std::string(buffers[number]);
  return "part_" + std::to_string(number - buffers.size());
}
std::string_view to_string(Stream stream) { return streams[static_cast<std::size_t>(stream)]; }
std::string_view to_string(Probe probe) { return probes[static_cast<std::size_t>(probe)]; }
Stream parse_stream(std::string_view name) { return parse<Stream>(name, streams, "stream"); }
Function parse_function(std::string_view name) {
  return parse<Function>(name, functions, "function");
}
Cell parse_cell(std::string_view name) { return parse<Cell>(name, cells, "cell"); }
Probe parse_probe(std::string_view name) { return parse<Probe>(name, probes, "probe"); }

}  // namespace alphaflops::cuda
