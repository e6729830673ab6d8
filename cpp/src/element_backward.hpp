// How gradients pass through the element operators.
#pragma once

#include <array>
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
  bool transcendental = false;  // needs an exp or tanh of its own
};

/// Of one operand of an operator of `element_ops`.
ElementBackward element_backward(std::string_view type, std::size_t operand);

/// What PyTorch holds at most while it computes the gradients of some operands, by several kernels
/// one after another: the results, before they are summed, and what lies between.
struct Held {
  std::int64_t tensors = 0;  // of as many elements as the output, or as a reduction's input
  std::int64_t masks = 0;    // of as many, a byte each
  std::array<std::int64_t, 2> of_operand{0, 0};  // tensors of as many elements as that operand
  std::array<std::int64_t, 2> operand_masks{0, 0};
};

/// Nothing where one kernel computes each gradient; `first` and `second` say whose are needed.
Held held_for_gradients(std::string_view type, bool is_binary, bool first, bool second);

}  // namespace alphaflops
