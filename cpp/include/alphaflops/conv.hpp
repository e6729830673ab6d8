// Two-dimensional convolution on NHWC fp32, planned once and run many times.
//
//   y[n,p,q,o] = b[o] + sum over i,r,s of w[o,i,r,s] * x[n, p*stride+r*dilation-pad, q*..., i]
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "alphaflops/activation.hpp"
#include "alphaflops/isa.hpp"

namespace alphaflops {

namespace kernels {
struct KernelTable;
}

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
};

std::string_view to_string(ConvAlgorithm algorithm);

/// A plan. Immutable once built; `run` is const, thread-safe (with a workspace a thread) and does
/// not allocate. Pointers need no alignment; input and output must not overlap.
class Conv2d {
 public:
  /// Raises ShapeError or OverflowError for a shape that no convolution has, UnsupportedError for
  /// an instruction set this machine lacks or an algorithm that does not do the shape.
  explicit Conv2d(const Conv2dShape& shape, Isa isa = best_isa(),
                  ConvAlgorithm algorithm = ConvAlgorithm::automatic);

  const Conv2dShape& shape() const { return shape_; }
  Isa isa() const { return isa_; }
  ConvAlgorithm algorithm() const { return algorithm_; }  // never automatic

  std::size_t packed_size() const { return static_cast<std::size_t>(packed_size_); }  // floats
  std::size_t workspace_size() const {
    return static_cast<std::size_t>(workspace_size_);
  }  // floats

  /// Rearranges weights [c_out][c_in / groups][k_h][k_w] into packed_size() floats.
  void pack(const float* weights, float* packed) const;

  /// `bias` of [c_out] and, where workspace_size() is 0, `workspace` may be null. The epilogue does
  /// none, relu and relu6; any other activation raises UnsupportedError (use `activate`).
  void run(const float* input, const float* packed, const float* bias, float* output,
           float* workspace, Activation activation = Activation::none) const;

 private:
  // Some pixels of a tile and the kernel columns that reach input from all of them.
  struct Segment {
    std::int64_t pixel, pixels;
    std::int64_t column, columns;
    bool opens, closes;  // first and last of its tile
  };
  struct Clamp {
    float low, high;
  };

  void plan_blocks(int lanes, int preferred);
  void plan_row(std::int64_t height);
  void plan_direct();
  void plan_gemm(bool is_matrix);
  void run_direct(const float* input, const float* packed, const float* bias, float* output,
                  Clamp clamp) const;
  void run_gemm(const float* input, const float* packed, const float* bias, float* output,
                float* workspace, Clamp clamp) const;
  void gather(const float* input, std::int64_t group, std::int64_t first, std::int64_t count,
              float* workspace) const;
  void run_depthwise(const float* input, const float* packed, const float* bias, float* output,
                     Clamp clamp) const;

  Conv2dShape shape_;
  Isa isa_;
  ConvAlgorithm algorithm_;
  const kernels::KernelTable* kernels_;
  std::int64_t h_out_ = 0, w_out_ = 0;
  std::int64_t group_in_ = 0, group_out_ = 0;  // channels of a group
  std::int64_t packed_size_ = 0, workspace_size_ = 0;
  std::int64_t lanes_ = 1;
  std::int64_t vectors_ = 1;  // of output channels in a block, the last block may have fewer
  std::int64_t group_vectors_ = 1;
  std::int64_t depth_ = 0;         // input channels (direct) or panel rows (gemm) taken at once
  std::int64_t patch_pixels_ = 0;  // pixels gathered at once, 0 where the input is the matrix
  std::int64_t patch_stride_ = 0;
  std::vector<Segment> row_;  // direct: a row of outputs
};

}  // namespace alphaflops
