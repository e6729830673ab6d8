// One row of a work table as a prepared call of the native kernels: what the executor runs and what
// the bench times, so that both run the same thing.
#pragma once

#include <cstdint>
#include <span>
#include <variant>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/graph.hpp"
#include "alphaflops/stream.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// A convolution of a graph, on an input [batch, channels, height, width], as the kernels take it.
Conv2dShape conv_shape(const Shape& in, const Conv2dOp& op);

/// Where a step finds its data. Images are NHWC.
struct StepArguments {
  std::span<const float* const> inputs;
  const float* weights = nullptr;  // packed weights, or the scale of a norm
  const float* shift = nullptr;    // bias, or the shift of a norm
  float* output = nullptr;
  float* workspace = nullptr;
};

class ExecutorStep {
 public:
  /// Raises UnsupportedError naming the layer where no native kernel does it.
  ExecutorStep(const Graph& graph, const WorkTable& work, std::size_t row, Isa isa);

  /// Does not allocate; thread-safe, given a workspace a thread.
  void run(const StepArguments& arguments) const;

  const std::vector<int>& inputs() const { return inputs_; }  // nodes
  int output() const { return output_; }                      // node
  std::int64_t weight_floats() const { return weight_floats_; }
  std::int64_t shift_floats() const { return shift_floats_; }
  std::int64_t workspace_floats() const { return workspace_floats_; }
  /// nullptr for a step that multiplies nothing by weights.
  const Conv2d* conv() const;

 private:
  struct ConvCall {
    Conv2d plan;
    Activation activation;
    std::int64_t outputs;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct NormCall {
    std::int64_t pixels, channels;
    Activation activation;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct ActivateCall {
    Activation activation;
    std::int64_t count;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct AddCall {
    std::int64_t count;
    Activation activation;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct MultiplyCall {
    std::int64_t count;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct GateCall {
    std::int64_t batch, pixels, channels;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct PoolCall {
    PoolKind kind;
    Pool2dShape shape;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct GlobalPoolCall {
    std::int64_t batch, pixels, channels;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct ConcatCall {
    std::int64_t pixels, total;
    std::vector<std::int64_t> channels;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct SoftmaxCall {
    std::int64_t rows, columns;
    void run(Isa isa, const StepArguments& a) const;
  };
  struct FillCall {
    std::int64_t count;
    void run(Isa isa, const StepArguments& a) const;
  };
  using Call = std::variant<ConvCall, NormCall, ActivateCall, AddCall, MultiplyCall, GateCall,
                            PoolCall, GlobalPoolCall, ConcatCall, SoftmaxCall, FillCall>;

  static Call prepare(const Graph& graph, const Node& lead, Activation activation, Isa isa);

  Isa isa_;
  Call call_;
  std::vector<int> inputs_;
  int output_ = 0;
  std::int64_t weight_floats_ = 0, shift_floats_ = 0, workspace_floats_ = 0;
};

}  // namespace alphaflops
