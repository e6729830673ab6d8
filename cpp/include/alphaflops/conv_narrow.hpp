// Two-dimensional convolution on NHWC of bf16 and of 8-bit integers.
//
//   Conv2dBf16   bf16 input and weights, fp32 sums, bias and output
//   Conv2dInt8   unsigned 8-bit input, signed 8-bit weights, int32 sums, bias and output
//
// The equation, the layouts and the rules of use are those of Conv2d. Padding is zero, so a
// quantised input has its zero point at 0 or is padded beforehand. Output is what was summed up:
// rounding it to a narrow type again is left to the caller.
//
// Conv2dBf16 sums in fp32 in an order that depends on the instruction set; AVX512_BF16 takes
// subnormal inputs and sums for zero. Conv2dInt8 is exact, hence equal on every instruction set, up
// to 65793 products a sum, and wraps beyond.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "alphaflops/activation.hpp"
#include "alphaflops/bf16.hpp"
#include "alphaflops/conv.hpp"
#include "alphaflops/dtype.hpp"
#include "alphaflops/isa.hpp"

namespace alphaflops {

/// A plan, as Conv2d is one. There are scalar and avx512 kernels, the latter on processors with
/// AVX512_BF16 or AVX512_VNNI, and algorithms direct and gemm.
template <class Input, class Weight, class Output>
class NarrowConv2d {
 public:
  static constexpr DType kDType = sizeof(Input) == 2 ? DType::bf16 : DType::int8;

  /// Raises what the constructor of Conv2d does.
  explicit NarrowConv2d(const Conv2dShape& shape, Isa isa = best_isa(kDType),
                        ConvAlgorithm algorithm = ConvAlgorithm::automatic);

  const Conv2dShape& shape() const;
  Isa isa() const;
  ConvAlgorithm algorithm() const;  // never automatic

  std::size_t packed_size() const;                // weights
  std::size_t workspace_size() const;             // inputs
  std::size_t workspace_size(int threads) const;  // inputs

  /// Rearranges weights [c_out][c_in / groups][k_h][k_w] into packed_size() of them.
  void pack(const Weight* weights, Weight* packed) const;

  /// `bias` of [c_out] and, where workspace_size() is 0, `workspace` may be null. The epilogue does
  /// none, relu and, for bf16, relu6; anything else raises UnsupportedError.
  void run(const Input* input, const Weight* packed, const Output* bias, Output* output,
           Input* workspace, Activation activation = Activation::none) const;
  /// On every thread of the pool, and one part of several: see Conv2d.
  void run(ThreadPool& pool, const Input* input, const Weight* packed, const Output* bias,
           Output* output, Input* workspace, Activation activation = Activation::none) const;
  void run_part(int part, int parts, const Input* input, const Weight* packed, const Output* bias,
                Output* output, Input* workspace, Activation activation = Activation::none) const;

 private:
  std::shared_ptr<const ConvPlan> plan_;
};

using Conv2dBf16 = NarrowConv2d<Bf16, Bf16, float>;
using Conv2dInt8 = NarrowConv2d<std::uint8_t, std::int8_t, std::int32_t>;
extern template class NarrowConv2d<Bf16, Bf16, float>;
extern template class NarrowConv2d<std::uint8_t, std::int8_t, std::int32_t>;

}  // namespace alphaflops
