// Times one convolution by itself: one algorithm, dtype, instruction set and number of threads.
//
// `Bench` (measure.hpp) times an operator as a network meets it, to price networks. `ConvBench` is
// the microbenchmark: hot (everything as the call before left it) or cold (weights, input and
// output flushed from every cache before each call), to judge a kernel.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/dtype.hpp"
#include "alphaflops/graph.hpp"
#include "alphaflops/isa.hpp"
#include "alphaflops/layout.hpp"
#include "alphaflops/measure.hpp"

namespace alphaflops {

/// What a network's convolutions and linear layers are to the kernels.
struct ConvLayer {
  std::string name, op;
  Conv2dShape shape;
};
std::vector<ConvLayer> conv_layers(const Graph& graph);

/// Multiply-accumulates without those of padding zeros.
std::int64_t macs_without_padding(const Conv2dShape& shape);

/// Memory the system could give now without swapping, within the limit of the control group.
std::int64_t available_memory_bytes();

/// Memory, random numbers and threads that benches take turns in.
class ConvWorkbench {
 public:
  /// `threads` is the most that a bench of it runs on. The thread that makes it is pinned while it
  /// lasts, if there are several. `limit_bytes` of 0 is
  /// three quarters of what is available. Raises UnsupportedError for more threads than processors,
  /// ShapeError for fewer than one.
  explicit ConvWorkbench(int threads = 1, std::uint64_t seed = 0, std::int64_t limit_bytes = 0);
  ~ConvWorkbench();
  ConvWorkbench(const ConvWorkbench&) = delete;
  ConvWorkbench& operator=(const ConvWorkbench&) = delete;

  int threads() const;
  std::int64_t limit_bytes() const;

 private:
  friend class ConvBench;
  struct Blocks;
  std::unique_ptr<Blocks> blocks_;
};

struct ConvBenchOptions {
  DType dtype = DType::fp32;
  std::optional<Isa> isa = std::nullopt;  // the best here for the dtype
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;
  bool winograd = true;          // whether `automatic` may take a Winograd form
  int threads = 0;               // 0: as many as the workbench has
  Layout layout = Layout::nhwc;  // nchw: reorder in, convolve in NHWC, reorder out; fp32
};

/// The fastest algorithm for a shape, hot, on so many threads: each that does the shape is timed
/// for some milliseconds the first time that it is asked for, and the answer is kept for the
/// process. The one that planning takes stays where no other is 3 % faster. `algorithm` and
/// `layout` do not matter. Raises what the constructor of ConvBench does.
ConvAlgorithm tune(const Conv2dShape& shape, std::shared_ptr<ConvWorkbench> workbench,
                   const ConvBenchOptions& options = {});

/// One bench of a workbench runs at a time. With `ConvAlgorithm::automatic` the first call chooses,
/// as `tune` does.
class ConvBench {
 public:
  /// Raises what the constructors of Conv2d and NarrowConv2d do, UnsupportedError for a dtype
  /// without kernels and for nchw in another than fp32, ShapeError for more threads than the
  /// workbench has, and Error saying how much memory it needs where that is beyond the limit.
  ConvBench(const Conv2dShape& shape, std::shared_ptr<ConvWorkbench> workbench,
            const ConvBenchOptions& options = {});
  ~ConvBench();
  ConvBench(ConvBench&&) noexcept;
  ConvBench& operator=(ConvBench&&) noexcept;

  /// A first call or a few; returns about what one takes hot, in seconds.
  double warm_up();

  /// Hot: calls in one block after an untimed one. Cold: calls timed one by one. Nothing is
  /// allocated between the readings of the clock. `delay` lengthens what is timed by that share, by
  /// spinning: a slowdown of known size, to test comparisons. With nchw, reordering is part of
  /// time_s, and reorder_s says how much of it. Raises ShapeError for fewer than one
  /// iteration or a negative delay.
  Sample sample(std::int64_t iterations, bool cold = false, double delay = 0.0);

  ConvAlgorithm algorithm() const;  // automatic until the first call
  /// Weights as packed, input, output and workspace; with nchw, the NHWC copies as well.
  std::int64_t memory_bytes() const;
  /// Weights, input and output, each once: what must move at least.
  std::int64_t compulsory_bytes() const;
  /// Sum of some outputs of the calls so far, so that none can be left out.
  double checksum() const;

 private:
  struct Plan;
  void choose();
  std::unique_ptr<Plan> plan_;
};

}  // namespace alphaflops
