#include "alphaflops/operators.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

using Kind = ElementCost::Kind;
using Named = std::pair<std::string_view, ElementCost>;

constexpr ElementCost transcendental(std::int64_t per_output) {
  return {Kind::elementwise, per_output, 0, true};
}

/// Sorted by name. `pow` is not among the transcendental ones: most exponents are small whole
/// numbers, and then it is products. Divisions, roots and transcendental functions count as one
/// operation each.
constexpr std::array element_costs{
    Named{"abs", {Kind::elementwise, 1}},
    Named{"add", {Kind::elementwise, 1}},
    Named{"argmax", {Kind::reduce, 0, 1}},
    Named{"cast", {Kind::copy}},
    Named{"ceil", {Kind::elementwise, 1}},
    Named{"clip", {Kind::elementwise, 2}},
    Named{"compare", {Kind::elementwise, 1}},
    Named{"contiguous", {Kind::copy}},
    Named{"copy", {Kind::copy}},
    Named{"cos", transcendental(1)},
    Named{"cumsum", {Kind::reduce, 0, 1}},
    Named{"dequantize", {Kind::elementwise, 2}},  // subtract, multiply
    Named{"div", {Kind::elementwise, 1}},
    Named{"dropout", {Kind::elementwise, 2}},
    Named{"elu", transcendental(3)},
    Named{"erf", transcendental(1)},
    Named{"exp", transcendental(1)},
    Named{"fill", {Kind::copy}},
    Named{"flip", {Kind::copy}},
    Named{"floor", {Kind::elementwise, 1}},
    Named{"gather", {Kind::copy}},
    Named{"gelu_tanh", transcendental(9)},
    Named{"interpolate_bicubic", {Kind::elementwise, 35}},  // 5 sums of 4 products
    Named{"interpolate_bilinear", {Kind::elementwise, 9}},  // 3 interpolations of 3
    Named{"interpolate_linear", {Kind::elementwise, 3}},
    Named{"interpolate_nearest", {Kind::copy}},
    Named{"interpolate_trilinear", {Kind::elementwise, 21}},
    Named{"leaky_relu", {Kind::elementwise, 2}},
    Named{"log", transcendental(1)},
    Named{"log_softmax", transcendental(5)},
    Named{"logical", {Kind::elementwise, 1}},
    Named{"logsumexp", {Kind::reduce, 2, 4}},  // max, subtract, exp, sum; log, add
    Named{"masked_fill", {Kind::elementwise, 1}},
    Named{"max", {Kind::reduce, 0, 1}},
    Named{"maximum", {Kind::elementwise, 1}},
    Named{"mean", {Kind::reduce, 1, 1}},
    Named{"min", {Kind::reduce, 0, 1}},
    Named{"minimum", {Kind::elementwise, 1}},
    Named{"mish", transcendental(5)},
    Named{"mul", {Kind::elementwise, 1}},
    Named{"neg", {Kind::elementwise, 1}},
    Named{"norm", {Kind::reduce, 1, 2}},
    Named{"pad", {Kind::copy}},
    Named{"pixel_shuffle", {Kind::copy}},
    Named{"pow", {Kind::elementwise, 1}},
    Named{"prelu", {Kind::elementwise, 2}},
    Named{"prod", {Kind::reduce, 0, 1}},
    Named{"quantize", {Kind::elementwise, 5}},  // divide, round, add, two clamps
    Named{"reciprocal", {Kind::elementwise, 1}},
    Named{"repeat", {Kind::copy}},
    Named{"roll", {Kind::copy}},
    Named{"round", {Kind::elementwise, 1}},
    Named{"rsqrt", {Kind::elementwise, 2}},
    Named{"scatter", {Kind::copy}},
    Named{"selu", transcendental(4)},
    Named{"sign", {Kind::elementwise, 1}},
    Named{"sin", transcendental(1)},
    Named{"slice", {Kind::copy}},
    Named{"softplus", transcendental(3)},
    Named{"sort", {Kind::reduce, 0, 1}},
    Named{"sqrt", {Kind::elementwise, 1}},
    Named{"stack", {Kind::copy}},
    Named{"sub", {Kind::elementwise, 1}},
    Named{"sum", {Kind::reduce, 0, 1}},
    Named{"topk", {Kind::reduce, 0, 1}},
    Named{"transpose", {Kind::copy}},
    Named{"unfold", {Kind::copy}},
    Named{"var", {Kind::reduce, 2, 4}},  // sum, subtract, square, sum; two divisions
    Named{"where", {Kind::elementwise, 1}},
};
static_assert(std::ranges::is_sorted(element_costs, {}, &Named::first));

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

bool is_free(const Operator& op) {
  return std::holds_alternative<Input>(op) || std::holds_alternative<ConstantOp>(op) ||
         std::holds_alternative<FlattenOp>(op) || std::holds_alternative<PartOp>(op);
}

bool is_transcendental(Activation activation) {
  return activation == Activation::sigmoid || activation == Activation::silu ||
         activation == Activation::gelu || activation == Activation::tanh;
}

const ElementCost& element_cost(std::string_view type) {
  const auto found = std::ranges::lower_bound(element_costs, type, {}, &Named::first);
  if (found != element_costs.end() && found->first == type) return found->second;
  std::string known;
  for (const Named& named : element_costs) {
    known += (known.empty() ? "" : ", ") + std::string(named.first);
  }
  throw UnsupportedError("element operator '" + std::string(type) + "' is not known; use one of " +
                         known);
}

std::vector<std::string_view> element_ops() {
  std::vector<std::string_view> names;
  for (const Named& named : element_costs) names.push_back(named.first);
  return names;
}

}  // namespace alphaflops
