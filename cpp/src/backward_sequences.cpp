// Gradients of attention and of recurrences.
#include <array>

#include "backward_rows.hpp"

namespace alphaflops {

void Backward::differentiate(const AttentionOp&) {
  const std::int64_t depth = graph_.node(operand(0)).shape.back();
  const std::int64_t v_depth = graph_.node(operand(2)).shape.back();
  const std::int64_t scores = forward_.macs / (depth + v_depth);
  const bool masked = node_.inputs.size() > 3;
  const bool mask = masked && needs(3);
  const bool before = needs(0) || needs(1) || mask;  // of the softmax
  if (!before && !needs(2)) return;
  Work w = start(Pass::input_gradient);
  w.elements_written = 0;
  for (std::size_t i = 0; i < node_.inputs.size(); ++i) {
    if (needs(i)) w.elements_written = checked_add(w.elements_written, count(operand(i)), what());
  }
  const auto multiply_scores = [&](std::int64_t by) {
    add_macs(w, checked_mul(scores, by, what()));
  };
  if (recompute_) {
    multiply_scores(depth);
    add_flops(w, masked ? 7 : 6, scores);
    if (masked) read(w, operand(3));
  }
  if (needs(2)) multiply_scores(v_depth);
  if (before) {
    multiply_scores(v_depth);
    add_flops(w, 5, scores);  // multiply, sum, subtract, multiply, scale
  }
  if (needs(0)) multiply_scores(depth);
  if (needs(1)) multiply_scores(depth);
  if (mask) add_flops(w, 1, scores);
  if (recompute_ || needs(1)) read(w, operand(0));
  if (recompute_ || needs(0))
    w.weights_read = checked_add(w.weights_read, count(operand(1)), what());
  if (before) w.weights_read = checked_add(w.weights_read, count(operand(2)), what());
  if (recompute_) w.activations_read = checked_add(w.activations_read, written_, what());
  w.activations_read = checked_add(w.activations_read, kept_, what());
  rows_.push_back(w);
}

void Backward::differentiate(const RecurrentOp& op) {
  constexpr std::array<std::int64_t, 3> gates_of{1, 4, 3};
  constexpr std::array<std::int64_t, 3> flops_of{4, 23, 18};  // an element of the state
  // The states before the first step, where they are operands; nobody asks for a gradient of zeros.
  const auto needs_state = [&](std::size_t k) { return node_.inputs.size() > k && needs(k); };
  if (!needs(0) && !needs_state(1) && !needs_state(2) && !flow_.trains(index_)) return;
  const auto cell = static_cast<std::size_t>(op.cell);
  const Shape& in = graph_.node(operand(0)).shape;
  const std::int64_t directions = op.bidirectional ? 2 : 1;
  const std::int64_t steps = checked_mul(in[0], in[1], what());
  const std::int64_t gates =
      product(what(), steps, directions, op.layers, gates_of[cell], op.hidden);
  const std::int64_t biases =
      op.bias ? product(what(), 2, directions, op.layers, gates_of[cell], op.hidden) : 0;
  const std::int64_t first = product(what(), directions, gates_of[cell], op.hidden, in[2]);
  Work w = start(Pass::input_gradient);
  std::swap(w.c_in, w.c_out);
  const std::int64_t state = op.projection > 0 ? op.projection : op.hidden;
  const std::int64_t initial =
      product(what(), in[0], directions, op.layers, gates_of[cell], op.hidden, state);
  add_macs(w, forward_.macs - (needs_state(1) ? 0 : initial) -
                  (needs(0) ? 0 : checked_mul(steps, first, what())));
  add_flops(w, flops_of[cell], product(what(), steps, directions, op.layers, op.hidden));
  w.activations_read = checked_add(w.activations_read, kept_, what());
  w.weights_read = forward_.weights_read - biases - (needs(0) ? 0 : first);
  w.elements_written = gates;
  for (std::size_t k = 0; k < node_.inputs.size(); ++k) {
    if (needs(k)) w.elements_written = checked_add(w.elements_written, count(operand(k)), what());
  }
  const bool has_states = node_.inputs.size() > 1;
  if (has_states && op.cell != RecurrentOp::Cell::rnn) read(w, node_.inputs.back());
  rows_.push_back(w);
  if (!flow_.trains(index_)) return;
  w = start(Pass::weight_gradient);
  w.activations_read = checked_add(gates, kept_ - gates, what());  // their gradients and states
  read(w, operand(0));
  if (has_states) read(w, operand(1));
  w.elements_written = forward_.params;
  add_macs(w, forward_.macs);
  add_flops(w, 1, checked_mul(steps, biases, what()));
  rows_.push_back(w);
}

}  // namespace alphaflops
