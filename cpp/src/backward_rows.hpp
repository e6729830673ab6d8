// The rows of one node's gradients as they are made: a function an operator.
#pragma once

#include <utility>
#include <variant>
#include <vector>

#include "alphaflops/error.hpp"
#include "backward.hpp"
#include "count.hpp"
#include "product.hpp"

namespace alphaflops {

/// Elements of the type that hold so many bytes.
inline std::int64_t elements_of(std::int64_t bytes, DType dtype) {
  return (bytes + size_of(dtype) - 1) / size_of(dtype);
}

class Backward {
 public:
  Backward(const Graph& graph, int index, const GradientFlow& flow, bool recompute_attention)
      : graph_(graph),
        index_(index),
        node_(graph.node(index)),
        flow_(flow),
        recompute_(recompute_attention),
        forward_(own_work(graph, index)),
        written_(element_count(node_.shape)),
        kept_(elements_of(kept_of(graph, index, flow, recompute_attention).bytes, node_.dtype)) {}

  std::vector<Work> rows() && {
    std::visit([this](const auto& op) { differentiate(op); }, node_.op);
    return std::move(rows_);
  }

 private:
  std::int64_t count(int tensor) const { return element_count(graph_.node(tensor).shape); }
  int operand(std::size_t k) const { return node_.inputs[k]; }
  bool needs(std::size_t k) const { return flow_.reaches_operand(index_, k); }
  const char* what() const { return node_.name.c_str(); }

  /// A row that reads the output's gradient.
  Work start(Pass pass) const {
    Work w = forward_;
    w.pass = pass;
    w.biased = false;
    w.padded_elements = w.macs = w.flops = w.params = w.weights_read = 0;
    w.activations_read = written_;
    return w;
  }
  /// Of an operand, which may be a parameter that no layer owns.
  Work start_operand(std::size_t k) const {
    const bool constant =
        std::holds_alternative<ConstantOp>(graph_.node(root_of(graph_, operand(k))).op);
    Work w = start(constant ? Pass::weight_gradient : Pass::input_gradient);
    w.elements_written = count(operand(k));
    return w;
  }
  void read(Work& w, int tensor) const {
    const bool constant =
        std::holds_alternative<ConstantOp>(graph_.node(root_of(graph_, tensor)).op);
    std::int64_t& to = constant ? w.weights_read : w.activations_read;
    to = checked_add(to, count(tensor), what());
  }
  void add_macs(Work& w, std::int64_t macs) const {
    w.macs = checked_add(w.macs, macs, what());
    w.flops = checked_add(w.flops, checked_mul(2, macs, what()), what());
  }
  void add_flops(Work& w, std::int64_t each, std::int64_t elements) const {
    w.flops = checked_add(w.flops, checked_mul(each, elements, what()), what());
  }

  /// Convolutions and linear layers: either gradient pairs every output with every tap once more.
  void multiply(bool bias) {
    if (needs(0)) {
      Work w = start_operand(0);
      std::swap(w.c_in, w.c_out);
      w.weights_read = forward_.weights_read - (bias ? forward_.c_out : 0);
      add_macs(w, forward_.macs);
      rows_.push_back(w);
    }
    if (flow_.trains(index_)) {
      Work w = start(Pass::weight_gradient);
      read(w, operand(0));
      w.elements_written = forward_.params;
      add_macs(w, forward_.macs);
      if (bias) add_flops(w, 1, written_);
      rows_.push_back(w);
    }
  }
  void differentiate(const Conv2dOp& op) { multiply(op.bias); }
  void differentiate(const ConvNdOp& op) { multiply(op.bias); }
  void differentiate(const LinearOp& op) { multiply(op.bias); }

  /// dA = dC B^T, dB = A^T dC; sums over axes that were broadcast are part of the product.
  void differentiate(const MatmulOp&) {
    const Shape& c = node_.shape;
    const std::int64_t m = c[c.size() - 2], n = c.back();
    const std::int64_t k = graph_.node(operand(0)).shape.back();
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      if (!needs(i)) continue;
      Work w = start_operand(i);
      w.batch = i == 0 ? m : k;
      w.c_in = product(what(), w.groups, i == 0 ? n : m);
      w.c_out = product(what(), w.groups, i == 0 ? k : n);
      // As in the forward pass the second factor counts as the weights.
      w.activations_read = i == 0 ? written_ : count(operand(0));
      w.weights_read = i == 0 ? count(operand(1)) : written_;
      add_macs(w, forward_.macs);
      rows_.push_back(w);
    }
  }

  /// One launch: dV = P^T dO, dP = dO V^T, dS = P (dP - sum), dQ = dS K, dK = dS^T Q.
  void differentiate(const AttentionOp& op);
  /// Through time: the gradients of all gates and of the state before each step; of the input only
  /// where it needs one.
  void differentiate(const RecurrentOp& op);

  /// x' normalised again (2; 1 in RMS); dx = (dy s - mean(dy s) - x' mean(dy s x')) / deviation.
  void normalise(bool is_rms, bool scale, bool shift) {
    if (needs(0)) {
      Work w = start_operand(0);
      read(w, operand(0));
      w.activations_read = checked_add(w.activations_read, kept_, what());
      w.weights_read = scale ? forward_.weights_read / (shift ? 2 : 1) : 0;
      add_flops(w, (is_rms ? 6 : 9) + (scale ? 1 : 0), written_);
      rows_.push_back(w);
    }
    if (flow_.trains(index_)) {
      Work w = start(Pass::weight_gradient);
      if (scale) {
        read(w, operand(0));
        w.activations_read = checked_add(w.activations_read, kept_, what());
      }
      w.elements_written = forward_.params;
      const std::int64_t of_scale = is_rms ? 3 : 4;  // x', multiply, sum
      add_flops(w, (scale ? of_scale : 0) + (shift ? 1 : 0), written_);
      rows_.push_back(w);
    }
  }
  void differentiate(const BatchNormOp&) { normalise(false, true, true); }
  void differentiate(const NormOp& op) {
    normalise(op.kind == NormOp::Kind::rms, op.scale, op.shift);
  }

  /// The whole table is written, most of it zeros.
  void differentiate(const EmbeddingOp&) {
    if (!flow_.trains(index_)) return;
    Work w = start(Pass::weight_gradient);
    read(w, operand(0));
    w.elements_written = forward_.params;
    add_flops(w, 1, written_);
    rows_.push_back(w);
  }

  void differentiate(const ActivationOp& op);
  void differentiate(const SoftmaxOp&) { one_operand(4, written_, written_); }

  void pool(PoolOp::Kind kind) {
    const bool is_max = kind == PoolOp::Kind::max;
    if (is_max) {
      one_operand(1, written_, kept_);
    } else {
      one_operand(1, forward_.flops, 0);
    }
  }
  void differentiate(const PoolOp& op) { pool(op.kind); }
  void differentiate(const PoolNdOp& op) { pool(op.kind); }
  void differentiate(const AdaptivePoolOp& op) { pool(op.kind); }
  void differentiate(const GlobalPoolOp&) { one_operand(1, count(operand(0)), 0); }

  /// The gradient of a gate is a sum over its channel.
  void differentiate(const MulOp&) {
    for (const std::size_t k : {std::size_t{0}, std::size_t{1}}) {
      if (!needs(k)) continue;
      Work w = start_operand(k);
      read(w, operand(1 - k));
      add_flops(w, count(operand(k)) < written_ ? 2 : 1, written_);
      rows_.push_back(w);
    }
  }

  /// Zeros around what was taken, or a sum of what was repeated.
  void differentiate(const PartOp&) {
    if (!needs(0) || shares_gradient(graph_, index_, 0)) return;
    Work w = start_operand(0);
    const bool repeats = written_ > count(operand(0));
    w.kind = repeats ? Kind::reduce : Kind::copy;
    if (repeats) add_flops(w, 1, written_);
    rows_.push_back(w);
  }

  void differentiate(const ElementOp& op);

  /// Each gradient is taken to cost what the forward pass does.
  void differentiate(const CustomOp&) {
    for (std::size_t k = 0; k < node_.inputs.size(); ++k) {
      if (!needs(k)) continue;
      Work w = start_operand(k);
      w.macs = forward_.macs;
      w.flops = forward_.flops;
      w.weights_read = forward_.weights_read;
      for (const int x : node_.inputs) read(w, x);
      rows_.push_back(w);
    }
    if (!flow_.trains(index_)) return;
    Work w = start(Pass::weight_gradient);
    w.macs = forward_.macs;
    w.flops = forward_.flops;
    for (const int x : node_.inputs) read(w, x);
    w.elements_written = forward_.params;
    rows_.push_back(w);
  }
  void differentiate(const UnknownOp&) {
    for (std::size_t k = 0; k < node_.inputs.size(); ++k) {
      if (needs(k)) rows_.push_back(start_operand(k));
    }
  }

  void differentiate(const AddOp&) {}
  void differentiate(const ConcatOp&) {}
  void differentiate(const FlattenOp&) {}
  void differentiate(const Input&) {}
  void differentiate(const ConstantOp&) {}

  /// Reads so many elements beside the output's gradient.
  void one_operand(std::int64_t flops, std::int64_t elements, std::int64_t more) {
    if (!needs(0)) return;
    Work w = start_operand(0);
    w.activations_read = checked_add(w.activations_read, more, what());
    add_flops(w, flops, elements);
    rows_.push_back(w);
  }

  const Graph& graph_;
  int index_;
  const Node& node_;
  const GradientFlow& flow_;
  bool recompute_;
  Work forward_;
  std::int64_t written_, kept_;
  std::vector<Work> rows_;
};

}  // namespace alphaflops
