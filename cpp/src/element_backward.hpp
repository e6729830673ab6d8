// How gradients pass through the element operators.
#pragma once

#include <cstdint>
#include <string_view>

namespace alphaflops {

struct ElementBackward {
  enum class Pass : std::uint8_t {
    none,      // no gradient passes: comparisons, indices, functions of steps
    view,      // the gradient is the output's, or a view of it; nothing is launched
    computed,  // one launch an operand
  } pass = Pass::computed;
  std::int64_t flops = 0;  // of an element: of the input in reductions, of the output elsewhere
  bool self = false;       // reads the operand whose gradient it is
  bool others = false;     // reads the other operands
  bool output = false;     // reads what the forward pass wrote
  std::int64_t kept_bytes = 0;  // of a mask or index an element, made by the forward pass
};

/// Of one operand of an operator of `element_ops`.
ElementBackward element_backward(std::string_view type, std::size_t operand);

}  // namespace alphaflops
