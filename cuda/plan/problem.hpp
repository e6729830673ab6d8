// What is to be run on a GPU, and what the GPU is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "alphaflops/activation.hpp"
#include "alphaflops/conv.hpp"
#include "alphaflops/dtype.hpp"
#include "alphaflops/stream.hpp"
#include "alphaflops/work.hpp"
#include "launch.hpp"

namespace alphaflops::cuda {

struct Target {
  int arch = 80;                // ten times the compute capability: 75 .. 100
  bool has_a_features = false;  // the kernels were compiled for exactly this one (sm_90a)
  int sm_count = 1;
  int shared_per_block_bytes = 48 * 1024;  // after opting in
};

/// A convolution or linear layer, NHWC with weights [c_out][k_h][k_w][c_in / groups]; int8 gives
/// int32.
struct Problem {
  Conv2dShape shape;
  DType dtype = DType::fp32;
  Pass pass = Pass::forward;
  Activation activation = Activation::none;
  bool bias = false;
};

/// Operators that move data.
enum class Stream : std::uint8_t {
  activation,           // y = f(x)
  add,                  // y = f(x + x2)
  multiply,             // y = f(x * x2)
  scale_shift,          // y = f(x * weights[c] + bias[c]): batch normalisation at inference
  max_pool,             // window of `shape`
  average_pool,         // the same
  global_average_pool,  // [n][h][w][c] -> [n][c]
  layer_norm,           // over c, with weights and bias
  softmax,              // over c
  copy_channels,        // into rows of `out_channels`, from `out_channel` on: a concatenation
  to_nchw,              // from NHWC
  to_nhwc,              // from NCHW
};
inline constexpr int stream_count = 12;
std::string_view to_string(Stream stream);
/// Raises UnsupportedError listing the known names.
Stream parse_stream(std::string_view name);

/// `shape` has the input's sizes for all of them and a window for the pools.
struct StreamProblem {
  Stream stream = Stream::activation;
  DType dtype = DType::fp32;
  Activation activation = Activation::none;
  Pool2dShape shape;
  std::int64_t out_channels = 0, out_channel = 0;  // copy_channels
  float epsilon = 1e-5F;                           // layer_norm
};

/// What tells what the device can do at most, and what timing needs.
enum class Probe : std::uint8_t {
  fma,    // the multiply-add pipe of a dtype; amount: iterations a thread
  copy,   // input to output; amount: bytes each
  read,   // of `input`, again and again, which stays in the L2 if it fits; amount: bytes
  empty,  // a kernel that does nothing
  flush,  // writes `workspace`; amount: bytes, more than the L2 has
  block,  // waits until *flag != 0, or for `amount` nanoseconds at most
};
inline constexpr int probe_count = 6;
std::string_view to_string(Probe probe);
/// Raises UnsupportedError listing the known names.
Probe parse_probe(std::string_view name);

struct ProbeProblem {
  Probe probe = Probe::empty;
  DType dtype = DType::fp32;  // of fma
  std::int64_t amount = 0;
};

}  // namespace alphaflops::cuda
