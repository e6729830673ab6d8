// What a node of a graph can be, with the attributes that its shape and its counts depend on.
//
// docs/operators.md says what each counts.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "alphaflops/activation.hpp"

namespace alphaflops {

/// Sizes of one window sliding over an image; `pad` is top, bottom, left, right.
struct Window {
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 4> pad{0, 0, 0, 0};
  std::array<std::int64_t, 2> dilation{1, 1};
};

/// The same along one axis of any number of them.
struct AxisWindow {
  std::int64_t kernel = 1, stride = 1, pad_before = 0, pad_after = 0, dilation = 1;
  std::int64_t output_padding = 0;  // of transposed convolutions
};

struct Input {};
/// A tensor that is there before the call; `trainable`: a parameter that no layer owns.
struct ConstantOp {
  bool trainable = false;
};
/// The convolution that kernels run: two axes, not transposed.
struct Conv2dOp {
  std::int64_t c_out = 1;
  Window window{};
  std::int64_t groups = 1;
  bool bias = false;
};
/// Every other convolution: one or three axes, or transposed.
struct ConvNdOp {
  std::int64_t c_out = 1;
  std::vector<AxisWindow> axes{};
  std::int64_t groups = 1;
  bool bias = false;
  bool transposed = false;
};
struct LinearOp {
  std::int64_t out_features = 1;
  bool bias = false;
};
/// [..., m, k] x [..., k, n]; the axes before are those of a batch, and broadcast.
struct MatmulOp {};
/// softmax(q k^T) v, with q [batch, heads, length, depth], k [batch, kv_heads, kv_length, depth]
/// and v [batch, kv_heads, kv_length, v_depth], kv_heads a divisor of heads; a mask may be the
/// fourth.
struct AttentionOp {
  /// What of the scores is computed: all, or only those that a causal mask leaves.
  enum class Scores : std::uint8_t { all, causal } scores = Scores::all;
};
/// Layers of a recurrence over [batch, length, features]; the outputs of both directions together.
struct RecurrentOp {
  enum class Cell : std::uint8_t { rnn, lstm, gru } cell = Cell::lstm;
  std::int64_t hidden = 1, layers = 1;
  bool bidirectional = false;
  bool bias = true;
  std::int64_t projection = 0;  // of an LSTM's output; 0 for none
};
struct BatchNormOp {};
/// Layer and RMS norm are over the last `axes` axes; instance and group norm over all but two.
struct NormOp {
  enum class Kind : std::uint8_t { layer, rms, instance, group } kind = Kind::layer;
  std::int64_t axes = 1;
  bool scale = true, shift = true;
};
/// Rows of a table, one for each index.
struct EmbeddingOp {
  std::int64_t rows = 1, features = 1;
};
struct ActivationOp {
  Activation activation = Activation::relu;
};
struct PoolOp {
  enum class Kind : std::uint8_t { max, average } kind = Kind::max;
  Window window{};
  bool ceil_mode = false;
  bool count_include_pad = true;
};
/// The same over one axis or three.
struct PoolNdOp {
  PoolOp::Kind kind = PoolOp::Kind::max;
  std::vector<AxisWindow> axes{};
  bool ceil_mode = false;
};
/// Window i of an axis is [floor(i in / out), ceil((i + 1) in / out)).
struct AdaptivePoolOp {
  PoolOp::Kind kind = PoolOp::Kind::average;
  std::vector<std::int64_t> extent{};
};
struct GlobalPoolOp {};
struct AddOp {};
/// Second operand is of the first's shape, or [batch, channels, 1, 1] (a gate per channel).
struct MulOp {};
/// One of `element_ops`: a few operations an element. Shape as inferred by who adds it.
struct ElementOp {
  std::string type{};
  /// Of a copy that rearranges: its own axes as they lie in what it reads, the innermost last.
  /// Empty where that is not known.
  std::vector<std::int64_t> order{};
};
struct ConcatOp {
  std::int64_t axis = 1;
};
/// The same elements in another shape, which the node holds: a view, nothing is launched.
struct FlattenOp {};
/// Some of a tensor's elements, or some of them again and again, in place: nothing is launched.
struct PartOp {};
struct SoftmaxOp {};
/// An operator that its maker counts; sizes are as in Work.
struct CustomOp {
  std::string type{};
  std::int64_t macs = 0, flops = 0, params = 0;
};
/// An operator of some format that the library cannot count; it is reported, never priced at zero.
struct UnknownOp {
  std::string type{};
};

using Operator =
    std::variant<Input, ConstantOp, Conv2dOp, ConvNdOp, LinearOp, MatmulOp, AttentionOp,
                 RecurrentOp, BatchNormOp, NormOp, EmbeddingOp, ActivationOp, PoolOp, PoolNdOp,
                 AdaptivePoolOp, GlobalPoolOp, AddOp, MulOp, ElementOp, ConcatOp, FlattenOp, PartOp,
                 SoftmaxOp, CustomOp, UnknownOp>;

/// "conv2d", "linear", "relu", "max_pool", ... as reports and measurement tables name it.
std::string_view op_name(const Operator& op);

/// "other", then the names that `op_name` gives, sorted, but for those that a maker chose.
std::span<const std::string_view> op_names();
/// Where a name stands among them; 0 for one that does not, and for what its maker named.
using OpCode = std::uint8_t;
OpCode op_code(std::string_view name);
OpCode op_code(const Operator& op);

/// Whether it launches nothing: inputs, constants, views and parts.
bool is_free(const Operator& op);

/// Operators that do a few operations an element, whatever they compute.
struct ElementCost {
  /// What is read and written, and so which cost model prices it.
  enum class Kind : std::uint8_t { elementwise, reduce, copy } kind = Kind::elementwise;
  std::int64_t per_output = 0;  // floating-point operations an element written
  std::int64_t per_input = 0;   // and an element of the first operand
  bool transcendental = false;  // an elementwise one that takes many instructions an operation
};

/// Whether it is computed with exp, erf or tanh.
bool is_transcendental(Activation activation);
/// Raises UnsupportedError listing the known names.
const ElementCost& element_cost(std::string_view type);
/// The names of all, sorted.
std::vector<std::string_view> element_ops();

}  // namespace alphaflops
