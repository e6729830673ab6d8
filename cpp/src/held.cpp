// What lies between the kernels of a gradient, as PyTorch's autograd formulas make it; measured by
// tests/test_memory_random.py and tests/test_memory_gradients.py.
#include <algorithm>
#include <array>
#include <utility>

#include "element_backward.hpp"

namespace alphaflops {
namespace {

using NamedHeld = std::pair<std::string_view, Held>;

/// Of operators with one operand, sorted by name.
constexpr std::array unary{
    NamedHeld{"abs", {2}},         // sign
    NamedHeld{"clip", {1, 2}},     // not below, not above
    NamedHeld{"cos", {3}},         // sin, its negative
    NamedHeld{"cumsum", {3}},      // flip, sum, flip
    NamedHeld{"erf", {5}},         // square, negative, exp, scaled
    NamedHeld{"logsumexp", {3}},   // difference, exp
    NamedHeld{"max", {2}},         // zeros to scatter into
    NamedHeld{"min", {2}},         // the same
    NamedHeld{"norm", {2}},        // a quotient
    NamedHeld{"pow", {3}},         // power, scaled
    NamedHeld{"prod", {6}},        // products of all others, from either side
    NamedHeld{"reciprocal", {3}},  // negative, square
    NamedHeld{"rsqrt", {3}},       // third power, scaled
    NamedHeld{"sin", {2}},         // cos
    NamedHeld{"sort", {2}},        // zeros to scatter into
    NamedHeld{"sqrt", {2}},        // twice the root
    NamedHeld{"topk", {2}},        // zeros to scatter into
    NamedHeld{"var", {2}},         // difference
};
static_assert(std::ranges::is_sorted(unary, {}, &NamedHeld::first));

}  // namespace

Held held_for_gradients(std::string_view type, bool is_binary, bool first, bool second) {
  if (!is_binary) {
    const auto found = std::ranges::lower_bound(unary, type, {}, &NamedHeld::first);
    return found != unary.end() && found->first == type ? found->second : Held{};
  }
  if (type == "div") return {.tensors = second ? 4 : 1};  // two quotients, a negative
  if (type == "maximum" || type == "minimum") {
    return {.tensors = first && second ? 3 : 2, .masks = 2};  // half where equal, else one of both
  }
  if (type == "pow" && first) {  // x^(y - 1), times y, times the gradient; where y is 0
    return {.tensors = second ? 5 : 4, .of_operand = {0, 1}, .operand_masks = {0, 1}};
  }
  if (type == "pow") return {.tensors = 3, .masks = 1, .of_operand = {1, 0}};  // logarithm
  return {};
}

}  // namespace alphaflops
