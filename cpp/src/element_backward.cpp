#include "element_backward.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace alphaflops {
namespace {

using Named = std::pair<std::string_view, ElementBackward>;

constexpr ElementBackward none{ElementBackward::Pass::none};
constexpr ElementBackward view{ElementBackward::Pass::view};

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
constexpr std::int64_t index_bytes = 8;

/// Sorted by name; names that are not here only copy. Operations count as in `element_costs`, the
/// multiplication by the output's gradient among them.
constexpr std::array element_gradients{
    Named{"abs", of_self(2)},  // sign, multiply
    Named{"add", view},
    Named{"argmax", none},
    Named{"ceil", none},
    Named{"clip", of_self(3)},  // two comparisons, select
    Named{"compare", none},
    Named{"contiguous", view},
    Named{"copy", view},
    Named{"cos", transcendental(of_self(3))},
    Named{"cumsum", copied(1)},
    Named{"dequantize", none},
    Named{"div", of_others(1)},
    Named{"dropout", of_kept(2, 1)},
    Named{"elu", transcendental(of_self(3))},
    Named{"erf", transcendental(of_self(5))},  // square, negate, exp, scale, multiply
    Named{"exp", of_output(1)},
    Named{"fill", none},
    Named{"floor", none},
    Named{"gather", of_others(1)},
    Named{"gelu_tanh",
          transcendental(of_self(18))},  // u 5, tanh, half of 1 + t 2, u' 3, 1 - t^2 2, rest 5
    Named{"interpolate_bicubic", copied(35)},
    Named{"interpolate_bilinear", copied(9)},
    Named{"interpolate_linear", copied(3)},
    Named{"interpolate_nearest", copied(1)},
    Named{"interpolate_trilinear", copied(21)},
    Named{"leaky_relu", of_self(2)},
    Named{"log", of_self(1)},
    Named{"log_softmax", transcendental(of_output(4))},  // exp, sum, multiply, subtract
    Named{"logical", none},
    Named{"logsumexp", transcendental(of_ends(3))},
    Named{"masked_fill", of_others(1)},
    Named{"max", of_kept(1, index_bytes)},
    Named{"maximum", of_both(2)},  // compare, select
    Named{"mean", copied(1)},
    Named{"min", of_kept(1, index_bytes)},
    Named{"minimum", of_both(2)},
    Named{"mish", transcendental(of_self(14))},
    Named{"mul", of_others(1)},
    Named{"neg", copied(1)},
    Named{"norm", of_ends(2)},
    Named{"pow", of_both(3)},
    Named{"prelu", of_both(2)},
    Named{"prod", of_ends(2)},
    Named{"quantize", none},
    Named{"reciprocal", of_output(3)},
    Named{"repeat", copied(1)},
    Named{"round", none},
    Named{"rsqrt", of_output(4)},
    Named{"scatter", of_others(0)},
    Named{"selu", transcendental(of_self(4))},
    Named{"sign", none},
    Named{"sin", transcendental(of_self(2))},
    Named{"softplus", transcendental(of_self(5))},  // a sigmoid, multiply
    Named{"sort", of_kept(1, index_bytes)},
    Named{"sqrt", of_output(2)},
    Named{"stack", view},
    Named{"sub", view},
    Named{"sum", view},
    Named{"topk", of_kept(1, index_bytes)},
    Named{"transpose", view},
    Named{"unfold", copied(1)},
    Named{"var", of_self(3)},
    Named{"where", of_others(1)},
};
static_assert(std::ranges::is_sorted(element_gradients, {}, &Named::first));

}  // namespace

ElementBackward element_backward(std::string_view type, std::size_t operand) {
  if (operand == 1 && type == "sub") return copied(1);  // negate
  if (operand == 1 && type == "div") return of_both(3);
  if (operand == 1 && type == "pow") {  // logarithm, two products
    return {.flops = 3, .self = true, .others = true, .output = true};
  }
  const auto found = std::ranges::lower_bound(element_gradients, type, {}, &Named::first);
  return found != element_gradients.end() && found->first == type ? found->second : copied();
}

}  // namespace alphaflops
