// What is to be run on a GPU, and what the GPU is.
#pragma once

#include <array>
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
/// int32. A transposed convolution is the gradient of the input of `shape`, but from the buffer
/// `input`, with weights [group][c_in / groups][k_h][k_w][c_out / groups] and an epilogue.
struct Problem {
  Conv2dShape shape;
  DType dtype = DType::fp32;
  Pass pass = Pass::forward;
  Activation activation = Activation::none;
  bool bias = false;
  bool transposed = false;  // of the pass input_gradient
};

/// Operators that move data.
enum class Stream : std::uint8_t {
  activation,           // y = f(x)
  add,                  // y = f(x + x2)
  subtract,             // y = f(x - x2)
  subtract_from,        // y = f(x2 - x)
  multiply,             // y = x * x2
  divide,               // y = x / x2
  scale_shift,          // y = f(x * weights[c] + bias[c]): batch normalisation at inference
  max_pool,             // window of `shape`
  average_pool,         // the same
  global_average_pool,  // [n][h][w][c] -> [n][c]
  layer_norm,           // over c, with weights and bias
  rms_norm,             // over c, with weights
  softmax,              // over c
  concat,               // `parts` side by side, in rows of `out_channels` from `out_channel` on
  to_nchw,              // from NHWC
  to_nhwc,              // from NCHW
  copy_axes,            // of `axes`: transposed, cut, padded, rolled
  lookup,               // rows of a table, `weights`, at the indices in `input`
};
inline constexpr int stream_count = 18;
std::string_view to_string(Stream stream);
/// Raises UnsupportedError listing the known names.
Stream parse_stream(std::string_view name);

/// What sums, scale_shift and activation do at last: every Activation, and element operators. Those
/// behind leaky_relu are activation's alone.
enum class Function : std::uint8_t {
  none,
  relu,
  relu6,
  sigmoid,
  silu,
  hardsigmoid,
  hardswish,
  gelu,
  tanh,
  gelu_tanh,
  leaky_relu,  // of slope 0.01
  elu,
  selu,
  softplus,
  mish,
  exp,
  log,
  erf,
  sqrt,
  rsqrt,
  reciprocal,
  abs,
  neg,
};
inline constexpr int function_count = 23;
/// Raises UnsupportedError listing the known names.
Function parse_function(std::string_view name);

/// A second operand that is smaller than the first: its [blocks][length] elements meet
/// [blocks][repeats][length] of the first, again and again. A gate is [images][pixels][channels].
/// No function follows.
struct Repetition {
  std::int64_t blocks = 1, repeats = 1, length = 0;  // 0: it is as large
};

/// Element [i0] .. [i4] of a copy lies at the sum of stride (i + shift). An index beyond the extent
/// comes round to 0 where there is a shift, else it gives 0.
struct Axes {
  std::array<std::int64_t, 5> size{1, 1, 1, 1, 1}, stride{}, shift{}, extent{1, 1, 1, 1, 1};
  std::int64_t offset = 0;  // of the first element
};

/// Where the elements of pairs of matrices lie: matrices go by outer, then inner.
struct Matrices {
  Buffer buffer = Buffer::input;
  std::int64_t outer = 0, inner = 0, row = 0, column = 1, offset = 0;  // elements to the next
};

/// What a softmax adds to its input after the scale: for each of [outer][inner][rows] rows. Columns
/// lie side by side.
struct SoftmaxMask {
  Matrices at{Buffer::mask};
  std::int64_t inner = 1, rows = 0;  // 0: there is none
};

/// Columns of a concatenation: `channels` side by side, and elements from row to row and to the
/// first.
struct Part {
  std::int64_t channels = 0, stride = 0, offset = 0;
};

/// `shape` has the input's sizes for all of them and a window for the pools. A softmax behind a
/// causal mask leaves out the last `causal_rows` - 1 - i columns in row i of each `causal_rows`.
/// lookup: batch h_in w_in indices of rows of `channels`.
struct StreamProblem {
  Stream stream = Stream::activation;
  DType dtype = DType::fp32;
  Function function = Function::none;
  Pool2dShape shape;
  std::vector<Part> parts;                         // concat: of batch h_in w_in rows
  std::int64_t out_channels = 0, out_channel = 0;  // concat
  float epsilon = 1e-5F;                           // layer_norm, rms_norm
  Repetition second;                               // sums, products
  Axes axes;                                       // copy_axes
  std::int64_t table_rows = 0;                     // lookup
  float scale = 1.0F;                              // softmax, of what it takes
  std::int64_t softmax_columns = 0;                // softmax; 0: all, else zeros follow these
  std::int64_t causal_rows = 0;                    // softmax
  SoftmaxMask mask;                                // softmax
  std::int64_t dilation_h = 1, dilation_w = 1;     // max_pool
};

/// c = a b for each of outer x inner pairs, a [rows][depth], b [depth][columns]. What lies side by
/// side is a row of a and of c, and a row or a column of b.
struct MatmulProblem {
  std::int64_t outer = 1, inner = 1, rows = 1, columns = 1, depth = 1;
  Matrices a, b{Buffer::second_input}, c{Buffer::output};
  DType dtype = DType::fp32;
  bool a_is_padded = false;  // zeros follow its rows, up to whole pieces of 16 bytes
};

/// softmax(q k^T / sqrt(depth)) v for each of batch x heads. `row` is from token to token, `inner`
/// from head to head. A causal mask aligns the last query with the last key. Of keys and values
/// there is one for each `group` heads, which follow each other. `mask` is added to the scores.
struct AttentionProblem {
  std::int64_t batch = 1, heads = 1, length = 1, kv_length = 1, depth = 1, v_depth = 1;
  Matrices q, k{Buffer::second_input}, v{Buffer::third_input}, y{Buffer::output};
  DType dtype = DType::fp32;
  bool is_causal = false;
  std::int64_t group = 1;
  Matrices mask{Buffer::mask};
  bool has_mask = false;
};

enum class Cell : std::uint8_t { rnn, lstm, gru };
inline constexpr int cell_count = 3;
/// 1, 4 and 3.
int gates_of(Cell cell);
/// Raises UnsupportedError listing the known names.
Cell parse_cell(std::string_view name);

/// One layer of a recurrence from states of zeros, behind a linear layer: `input` has the gates of
/// every token, [batch][length][directions][gates][hidden], in PyTorch's order. `weights` are
/// [directions][gates][hidden][state], `bias` is [directions][gates][hidden] of floats, and
/// `output` [batch][length][directions][state]. A state has the hidden features, or those of a
/// projection, whose weights are `second_input`: [directions][projection][hidden].
struct RecurrentProblem {
  Cell cell = Cell::lstm;
  std::int64_t batch = 1, length = 1, directions = 1, hidden = 1;
  std::int64_t projection = 0;  // 0: there is none
  bool bias = true;
  DType dtype = DType::fp32;
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
