#include "alphaflops/operators.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

using ElementKind = ElementCost::Kind;
using NamedCost = std::pair<std::string_view, ElementCost>;

constexpr ElementCost transcendental(std::int64_t per_output) {
  return {ElementKind::elementwise, per_output, 0, true};
}

/// Sorted by name. `pow` is not among the transcendental ones: most exponents are small whole
/// numbers, and then it is products. Divisions, roots and transcendental functions count as one
/// operation each.
constexpr std::array element_costs{
    NamedCost{"abs", {ElementKind::elementwise, 1}},
    NamedCost{"add", {ElementKind::elementwise, 1}},
    NamedCost{"argmax", {ElementKind::reduce, 0, 1}},
    NamedCost{"cast", {ElementKind::copy}},
    NamedCost{"ceil", {ElementKind::elementwise, 1}},
    NamedCost{"clip", {ElementKind::elementwise, 2}},
    NamedCost{"compare", {ElementKind::elementwise, 1}},
    NamedCost{"contiguous", {ElementKind::copy}},
    NamedCost{"copy", {ElementKind::copy}},
    NamedCost{"cos", transcendental(1)},
    NamedCost{"cumsum", {ElementKind::reduce, 0, 1}},
    NamedCost{"dequantize", {ElementKind::elementwise, 2}},  // subtract, multiply
    NamedCost{"div", {ElementKind::elementwise, 1}},
    NamedCost{"dropout", {ElementKind::elementwise, 2}},
    NamedCost{"elu", transcendental(3)},
    NamedCost{"erf", transcendental(1)},
    NamedCost{"exp", transcendental(1)},
    NamedCost{"fill", {ElementKind::copy}},
    NamedCost{"flip", {ElementKind::copy}},
    NamedCost{"floor", {ElementKind::elementwise, 1}},
    NamedCost{"gather", {ElementKind::copy}},
    NamedCost{"gelu_tanh", transcendental(9)},
    NamedCost{"interpolate_bicubic", {ElementKind::elementwise, 35}},  // 5 sums of 4 products
    NamedCost{"interpolate_bilinear", {ElementKind::elementwise, 9}},  // 3 interpolations of 3
    NamedCost{"interpolate_linear", {ElementKind::elementwise, 3}},
    NamedCost{"interpolate_nearest", {ElementKind::copy}},
    NamedCost{"interpolate_trilinear", {ElementKind::elementwise, 21}},
    NamedCost{"leaky_relu", {ElementKind::elementwise, 2}},
    NamedCost{"log", transcendental(1)},
    NamedCost{"log_softmax", transcendental(5)},
    NamedCost{"logical", {ElementKind::elementwise, 1}},
    NamedCost{"logsumexp", {ElementKind::reduce, 2, 4}},  // max, subtract, exp, sum; log, add
    NamedCost{"masked_fill", {ElementKind::elementwise, 1}},
    NamedCost{"max", {ElementKind::reduce, 0, 1}},
    NamedCost{"maximum", {ElementKind::elementwise, 1}},
    NamedCost{"mean", {ElementKind::reduce, 1, 1}},
    NamedCost{"min", {ElementKind::reduce, 0, 1}},
    NamedCost{"minimum", {ElementKind::elementwise, 1}},
    NamedCost{"mish", transcendental(5)},
    NamedCost{"mul", {ElementKind::elementwise, 1}},
    NamedCost{"neg", {ElementKind::elementwise, 1}},
    NamedCost{"norm", {ElementKind::reduce, 1, 2}},
    NamedCost{"pad", {ElementKind::copy}},
    NamedCost{"pixel_shuffle", {ElementKind::copy}},
    NamedCost{"pow", {ElementKind::elementwise, 1}},
    NamedCost{"prelu", {ElementKind::elementwise, 2}},
    NamedCost{"prod", {ElementKind::reduce, 0, 1}},
    NamedCost{"quantize", {ElementKind::elementwise, 5}},  // divide, round, add, two clamps
    NamedCost{"reciprocal", {ElementKind::elementwise, 1}},
    NamedCost{"repeat", {ElementKind::copy}},
    NamedCost{"roll", {ElementKind::copy}},
    NamedCost{"round", {ElementKind::elementwise, 1}},
    NamedCost{"rsqrt", {ElementKind::elementwise, 2}},
    NamedCost{"scatter", {ElementKind::copy}},
    NamedCost{"selu", transcendental(4)},
    NamedCost{"sign", {ElementKind::elementwise, 1}},
    NamedCost{"sin", transcendental(1)},
    NamedCost{"slice", {ElementKind::copy}},
    NamedCost{"softplus", transcendental(3)},
    NamedCost{"sort", {ElementKind::reduce, 0, 1}},
    NamedCost{"sqrt", {ElementKind::elementwise, 1}},
    NamedCost{"stack", {ElementKind::copy}},
    NamedCost{"sub", {ElementKind::elementwise, 1}},
    NamedCost{"sum", {ElementKind::reduce, 0, 1}},
    NamedCost{"topk", {ElementKind::reduce, 0, 1}},
    NamedCost{"transpose", {ElementKind::copy}},
    NamedCost{"unfold", {ElementKind::copy}},
    NamedCost{"var", {ElementKind::reduce, 2, 4}},  // sum, subtract, square, sum; two divisions
    NamedCost{"where", {ElementKind::elementwise, 1}},
};
static_assert(std::ranges::is_sorted(element_costs, {}, &NamedCost::first));

constexpr std::string_view layer_names[] = {
    // those of the alternatives of Operator, activations among them
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "attention",
    "avg_pool",
    "batch_norm",
    "call",
    "concat",
    "constant",
    "conv",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "embedding",
    "flatten",
    "gelu",
    "global_avg_pool",
    "group_norm",
    "gru",
    "hardsigmoid",
    "hardswish",
    "input",
    "instance_norm",
    "layer_norm",
    "linear",
    "lstm",
    "matmul",
    "max_pool",
    "parameter",
    "part",
    "relu",
    "relu6",
    "rms_norm",
    "rnn",
    "sigmoid",
    "silu",
    "softmax",
    "tanh"};

constexpr auto names_by_code = [] {
  std::array<std::string_view, 1 + element_costs.size() + std::size(layer_names)> names{"other"};
  auto end = std::ranges::copy(layer_names, names.begin() + 1).out;
  end = std::ranges::transform(element_costs, end, &NamedCost::first).out;
  std::ranges::sort(names.begin() + 1, end);
  return names;
}();
static_assert(names_by_code.size() <= 256, "a code is a byte");

std::string_view conv_name(const ConvNdOp& op) {
  constexpr std::array names{"conv", "conv1d", "conv2d", "conv3d"};
  constexpr std::array transposed{"conv_transpose", "conv_transpose1d", "conv_transpose2d",
                                  "conv_transpose3d"};
  const std::size_t axes = op.axes.size() < names.size() ? op.axes.size() : 0;
  return op.transposed ? transposed[axes] : names[axes];
}

struct Name {
  std::string_view operator()(const Input&) const { return "input"; }
  std::string_view operator()(const ConstantOp& o) const {
    return o.trainable ? "parameter" : "constant";
  }
  std::string_view operator()(const Conv2dOp&) const { return "conv2d"; }
  std::string_view operator()(const ConvNdOp& o) const { return conv_name(o); }
  std::string_view operator()(const LinearOp&) const { return "linear"; }
  std::string_view operator()(const MatmulOp&) const { return "matmul"; }
  std::string_view operator()(const AttentionOp&) const { return "attention"; }
  std::string_view operator()(const RecurrentOp& o) const {
    constexpr std::array names{"rnn", "lstm", "gru"};
    return names[static_cast<std::size_t>(o.cell)];
  }
  std::string_view operator()(const BatchNormOp&) const { return "batch_norm"; }
  std::string_view operator()(const NormOp& o) const {
    constexpr std::array names{"layer_norm", "rms_norm", "instance_norm", "group_norm"};
    return names[static_cast<std::size_t>(o.kind)];
  }
  std::string_view operator()(const EmbeddingOp&) const { return "embedding"; }
  std::string_view operator()(const ActivationOp& o) const { return to_string(o.activation); }
  std::string_view operator()(const PoolOp& o) const { return name_of(o.kind); }
  std::string_view operator()(const PoolNdOp& o) const { return name_of(o.kind); }
  std::string_view operator()(const AdaptivePoolOp& o) const {
    return o.kind == PoolOp::Kind::max ? "adaptive_max_pool" : "adaptive_avg_pool";
  }
  std::string_view operator()(const GlobalPoolOp&) const { return "global_avg_pool"; }
  std::string_view operator()(const AddOp&) const { return "add"; }
  std::string_view operator()(const MulOp&) const { return "mul"; }
  std::string_view operator()(const ElementOp& o) const { return o.type; }
  std::string_view operator()(const ConcatOp&) const { return "concat"; }
  std::string_view operator()(const FlattenOp&) const { return "flatten"; }
  std::string_view operator()(const PartOp&) const { return "part"; }
  std::string_view operator()(const SoftmaxOp&) const { return "softmax"; }
  std::string_view operator()(const CustomOp& o) const { return o.type; }
  std::string_view operator()(const UnknownOp& o) const { return o.type; }

  static std::string_view name_of(PoolOp::Kind kind) {
    return kind == PoolOp::Kind::max ? "max_pool" : "avg_pool";
  }
};

}  // namespace

std::string_view op_name(const Operator& op) { return std::visit(Name{}, op); }

std::span<const std::string_view> op_names() { return names_by_code; }

OpCode op_code(std::string_view name) {
  const std::span<const std::string_view> known = op_names().subspan(1);
  const auto found = std::ranges::lower_bound(known, name);
  if (found == known.end() || *found != name) return 0;
  return static_cast<OpCode>(1 + (found - known.begin()));
}

OpCode op_code(const Operator& op) {
  const bool is_a_makers =
      std::holds_alternative<CustomOp>(op) || std::holds_alternative<UnknownOp>(op);
  return is_a_makers ? OpCode{0} : op_code(op_name(op));
}

bool is_free(const Operator& op) {
  return std::holds_alternative<Input>(op) || std::holds_alternative<ConstantOp>(op) ||
         std::holds_alternative<FlattenOp>(op) || std::holds_alternative<PartOp>(op);
}

bool is_transcendental(Activation activation) {
  return activation == Activation::sigmoid || activation == Activation::silu ||
         activation == Activation::gelu || activation == Activation::tanh;
}

const ElementCost& element_cost(std::string_view type) {
  const auto found = std::ranges::lower_bound(element_costs, type, {}, &NamedCost::first);
  if (found != element_costs.end() && found->first == type) return found->second;
  std::string known;
  for (const NamedCost& named : element_costs) {
    known += (known.empty() ? "" : ", ") + std::string(named.first);
  }
  throw UnsupportedError("element operator '" + std::string(type) + "' is not known; use one of " +
                         known);
}

std::vector<std::string_view> element_ops() {
  std::vector<std::string_view> names;
  for (const NamedCost& named : element_costs) names.push_back(named.first);
  return names;
}

}  // namespace alphaflops
