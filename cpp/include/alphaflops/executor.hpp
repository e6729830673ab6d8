// Runs a whole network with the native kernels, the way a deployment runtime does: lowered once,
// weights packed once, activations in one planned arena, then row after row without allocation.
//
// It is what whole-network predictions are checked against. Weights are random.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "alphaflops/graph.hpp"
#include "alphaflops/isa.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

class Executor {
 public:
  /// Row i of `lower(graph, mode)` is step i. Raises UnsupportedError naming the layer for an
  /// operator without a native kernel and for an element type other than fp32. A view of the same
  /// shape is the tensor itself, one as [batch, features] an image as it lies; others of images
  /// raise.
  explicit Executor(const Graph& graph, Mode mode = Mode::fused, Isa isa = best_isa(),
                    std::uint64_t seed = 0);
  ~Executor();
  Executor(Executor&&) noexcept;
  Executor& operator=(Executor&&) noexcept;

  const WorkTable& work() const;
  Isa isa() const;
  /// Packed weights, activations and workspace.
  std::int64_t memory_bytes() const;

  /// One forward pass in the calling thread. An executor runs in one thread at a time.
  void run();
  /// The same with the clock read between rows; `row_times_s` has one element a row.
  void run_timed(std::span<double> row_times_s);

  /// The graph's input of that index, images as NHWC; filled with random numbers at first, and kept
  /// from run to run.
  std::span<float> input(std::size_t index = 0);
  /// The last node's tensor after a run, images as NHWC. A flattened image keeps its NHWC order.
  std::span<const float> output() const;

  /// The parameters of a graph node in the graph's own layout: convolution weights
  /// [c_out][c_in / groups][k_h][k_w], linear weights [out][in] over [channel][pixel] columns, the
  /// scale of a norm. Empty where a node has none. `fused` runs with norms multiplied in.
  std::vector<float> weights(int node) const;
  /// Bias, or the shift of a norm.
  std::vector<float> shift(int node) const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

}  // namespace alphaflops
