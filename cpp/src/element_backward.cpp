#include "element_backward.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "tensor_bytes.hpp"

namespace alphaflops {
namespace {

using NamedBackward = std::pair<std::string_view, ElementBackward>;

constexpr ElementBackward no_gradient{ElementBackward::Pass::none};
constexpr ElementBackward passed_on{ElementBackward::Pass::view};

constexpr ElementBackward copied(std::int64_t flops = 0) { return {.flops = flops}; }
constexpr ElementBackward of_self(std::int64_t flops) { return {.flops = flops, .self = true}; }
constexpr ElementBackward of_others(std::int64_t flops) { return {.flops = flops, .others = true}; }
constexpr ElementBackward of_output(std::int64_t flops) { return {.flops = flops, .output = true}; }
constexpr ElementBackward of_both(std::int64_t flops) {
  return {.flops = flops, .self = true, .others = true};
}
constexpr ElementBackward of_ends(std::int64_t flops) {
  return {.flops = flops, .self = true, .output = true};
}
constexpr ElementBackward of_kept(std::int64_t flops, std::int64_t bytes) {
  return {.flops = flops, .kept_bytes = bytes};
}
constexpr ElementBackward transcendental(ElementBackward of) {
  of.transcendental = true;
  return of;
}

/// Sorted by name; names that are not here only copy. Operations count as in `element_costs`, the
/// multiplication by the output's gradient among them.
constexpr std::array element_gradients{
    NamedBackward{"abs", of_self(2)},  // sign, multiply
    NamedBackward{"add", passed_on},
    NamedBackward{"argmax", no_gradient},
    NamedBackward{"ceil", no_gradient},
    NamedBackward{"clip", of_self(3)},  // two comparisons, select
    NamedBackward{"compare", no_gradient},
    NamedBackward{"contiguous", passed_on},
    NamedBackward{"copy", passed_on},
    NamedBackward{"cos", transcendental(of_self(3))},
    NamedBackward{"cumsum", copied(1)},
    NamedBackward{"dequantize", no_gradient},
    NamedBackward{"div", of_others(1)},
    NamedBackward{"dropout", of_kept(2, 1)},
    NamedBackward{"elu", transcendental(of_self(3))},
    NamedBackward{"erf", transcendental(of_self(5))},  // square, negate, exp, scale, multiply
    NamedBackward{"exp", of_output(1)},
    NamedBackward{"fill", no_gradient},
    NamedBackward{"floor", no_gradient},
    NamedBackward{"gather", of_others(1)},
    NamedBackward{"gelu_tanh", transcendental(of_self(
                                   18))},  // u 5, tanh, half of 1 + t 2, u' 3, 1 - t^2 2, rest 5
    NamedBackward{"interpolate_bicubic", copied(35)},
    NamedBackward{"interpolate_bilinear", copied(9)},
    NamedBackward{"interpolate_linear", copied(3)},
    NamedBackward{"interpolate_nearest", copied(1)},
    NamedBackward{"interpolate_trilinear", copied(21)},
    NamedBackward{"leaky_relu", of_self(2)},
    NamedBackward{"log", of_self(1)},
    NamedBackward{"log_softmax", transcendental(of_output(4))},  // exp, sum, multiply, subtract
    NamedBackward{"logical", no_gradient},
    NamedBackward{"logsumexp", transcendental(of_ends(3))},
    NamedBackward{"masked_fill", of_others(1)},
    NamedBackward{"max", of_kept(1, index_bytes)},
    NamedBackward{"maximum", of_both(2)},  // compare, select
    NamedBackward{"mean", copied(1)},
    NamedBackward{"min", of_kept(1, index_bytes)},
    NamedBackward{"minimum", of_both(2)},
    NamedBackward{"mish", transcendental(of_self(14))},
    NamedBackward{"mul", of_others(1)},
    NamedBackward{"neg", copied(1)},
    NamedBackward{"norm", of_ends(2)},
    NamedBackward{"pow", of_both(3)},
    NamedBackward{"prelu", of_both(2)},
    NamedBackward{"prod", of_ends(2)},
    NamedBackward{"quantize", no_gradient},
    NamedBackward{"reciprocal", of_output(3)},
    NamedBackward{"repeat", copied(1)},
    NamedBackward{"round", no_gradient},
    NamedBackward{"rsqrt", of_output(4)},
    NamedBackward{"scatter", of_others(0)},
    NamedBackward{"selu", transcendental(of_self(4))},
    NamedBackward{"sign", no_gradient},
    NamedBackward{"sin", transcendental(of_self(2))},
    NamedBackward{"softplus", transcendental(of_self(5))},  // a sigmoid, multiply
    NamedBackward{"sort", of_kept(1, index_bytes)},
    NamedBackward{"sqrt", of_output(2)},
    NamedBackward{"stack", passed_on},
    NamedBackward{"sub", passed_on},
    NamedBackward{"sum", passed_on},
    NamedBackward{"topk", of_kept(1, index_bytes)},
    NamedBackward{"transpose", passed_on},
    NamedBackward{"unfold", copied(1)},
    NamedBackward{"var", of_self(3)},
    NamedBackward{"where", of_others(1)},
};
static_assert(std::ranges::is_sorted(element_gradients, {}, &NamedBackward::first));

}  // namespace

ElementBackward element_backward(std::string_view type, std::size_t operand) {
  if (operand == 1 && type == "sub") return copied(1);  // negate
  if (operand == 1 && type == "div") return of_both(3);
  if (operand == 1 && type == "pow") {  // logarithm, two products
    return {.flops = 3, .self = true, .others = true, .output = true};
  }
  const auto found = std::ranges::lower_bound(element_gradients, type, {}, &NamedBackward::first);
  return found != element_gradients.end() && found->first == type ? found->second : copied();
}

}  // namespace alphaflops
