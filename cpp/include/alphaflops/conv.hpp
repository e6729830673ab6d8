// Two-dimensional convolution on NHWC fp32, planned once and run many times.
//
//   y[n,p,q,o] = b[o] + sum over i,r,s of w[o,i,r,s] * x[n, p*stride+r*dilation-pad, q*..., i]
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "alphaflops/activation.hpp"
#include "alphaflops/isa.hpp"

namespace alphaflops {

namespace kernels {
struct KernelTable;
}
struct ConvPlan;
class ThreadPool;

/// A linear layer is a shape with every spatial size 1 and `batch` rows.
struct Conv2dShape {
  std::int64_t batch = 1, c_in = 1, h_in = 1, w_in = 1;
  std::int64_t c_out = 1, k_h = 1, k_w = 1;
  std::int64_t stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  std::int64_t dilation_h = 1, dilation_w = 1;
  std::int64_t groups = 1;

  std::int64_t h_out() const;  // raise ShapeError
  std::int64_t w_out() const;
  /// Nominal multiply-accumulates, padding counted; raises ShapeError or OverflowError.
  std::int64_t macs() const;
};

enum class ConvAlgorithm : std::uint8_t {
  automatic,
  direct,  // register tiles straight on the input
  gemm,    // matrix product; for anything but 1x1 with stride 1, of patches copied to the workspace
  depthwise,  // one input and one output channel a group
  // Winograd's F(2x2, 3x3) and F(4x4, 3x3), for 3x3 with stride, dilation and groups of 1: fewer
  // multiplications and a larger error, see Conv2d. Never chosen by `automatic`.
  winograd2,
  winograd4,
  grouped,  // 2, 4 or 8 channels a group, in and out alike; k_w 3, stride_w 1 or 2, dilation_w 1
};

std::string_view to_string(ConvAlgorithm algorithm);

/// A plan. Immutable once built; `run` is const, thread-safe (with a workspace a thread) and does
/// not allocate. Pointers need no alignment, though packed weights on cache lines (64 bytes) are up
/// to a fifth faster; input and output must not overlap.
///
/// The error ||y - exact|| / ||exact|| stays below 1e-5 for zero-mean inputs and weights and up to
/// some thousand products a sum; at 4608 it is 1.1e-6 for direct, 0.7e-6 for winograd2 and 1.9e-6
/// for winograd4.
class Conv2d {
 public:
  /// Raises ShapeError or OverflowError for a shape that no convolution has, UnsupportedError for
  /// an instruction set this machine lacks or an algorithm that does not do the shape.
  explicit Conv2d(const Conv2dShape& shape, Isa isa = best_isa(),
                  ConvAlgorithm algorithm = ConvAlgorithm::automatic);

  const Conv2dShape& shape() const;
  Isa isa() const;
  ConvAlgorithm algorithm() const;  // never automatic

  std::size_t packed_size() const;     // floats
  std::size_t workspace_size() const;  // floats
  /// Floats of workspace for so many threads.
  std::size_t workspace_size(int threads) const;

  /// Rearranges weights [c_out][c_in / groups][k_h][k_w] into packed_size() floats.
  void pack(const float* weights, float* packed) const;

  /// `bias` of [c_out] and, where workspace_size() is 0, `workspace` may be null. The epilogue does
  /// none, relu and relu6; any other activation raises UnsupportedError (use `activate`).
  void run(const float* input, const float* packed, const float* bias, float* output,
           float* workspace, Activation activation = Activation::none) const;

  /// The same on every thread of the pool; the workspace has workspace_size(pool.size()) floats.
  void run(ThreadPool& pool, const float* input, const float* packed, const float* bias,
           float* output, float* workspace, Activation activation = Activation::none) const;

  /// Part `part` of `parts`: disjoint shares of the output, for callers that have their own
  /// threads. Each needs a workspace of workspace_size() floats. Raises ShapeError unless part <
  /// parts.
  void run_part(int part, int parts, const float* input, const float* packed, const float* bias,
                float* output, float* workspace, Activation activation = Activation::none) const;

 private:
  std::shared_ptr<const ConvPlan> plan_;
  const kernels::KernelTable* kernels_;
};

/// Every algorithm that does the shape. Raises what the constructor of Conv2d does.
std::vector<ConvAlgorithm> algorithms(const Conv2dShape& shape, Isa isa = best_isa());

/// The fastest of them here, on one thread: each is timed for some milliseconds the first time that
/// a shape is asked for, and the answer is kept for the process. `winograd`: whether the Winograd
/// forms, which round differently, may win. Thread-safe. Other dtypes, several threads and borrowed
/// memory: see conv_bench.hpp. Raises Error where memory does not suffice.
ConvAlgorithm tune(const Conv2dShape& shape, Isa isa = best_isa(), bool winograd = true);

}  // namespace alphaflops
