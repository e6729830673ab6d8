// Operators that do little arithmetic a byte: elementwise, normalisation, pooling, softmax.
//
// NHWC, fp32. Input and output may be the same array wherever they have the same size, and pointers
// need no alignment. Every function raises UnsupportedError where the instruction set is not
// available, and ShapeError for a negative size.
#pragma once

#include <cstdint>

#include "alphaflops/activation.hpp"
#include "alphaflops/isa.hpp"

namespace alphaflops {

/// y = f(x), n floats.
void activate(Isa isa, Activation activation, const float* x, float* y, std::int64_t n);

/// y = f(a + b), n floats.
void add(Isa isa, const float* a, const float* b, float* y, std::int64_t n,
         Activation activation = Activation::none);

/// y = f(a * b), n floats.
void multiply(Isa isa, const float* a, const float* b, float* y, std::int64_t n,
              Activation activation = Activation::none);

/// y = x * s, x of [batch][pixels][channels] and s of [batch][channels]: a squeeze-excitation gate.
void multiply_channels(Isa isa, const float* x, const float* s, float* y, std::int64_t batch,
                       std::int64_t pixels, std::int64_t channels);

/// y = f(x * scale + shift), scale and shift of [channels]: batch normalisation at inference.
void scale_shift(Isa isa, const float* x, const float* scale, const float* shift, float* y,
                 std::int64_t pixels, std::int64_t channels,
                 Activation activation = Activation::none);

enum class PoolKind : std::uint8_t { max, average };

/// A pooling of [batch][h_in][w_in][channels]. With ceil_mode a window may start inside the input
/// or its left padding and overhang the right one, as in PyTorch.
struct Pool2dShape {
  std::int64_t batch = 1, channels = 1, h_in = 1, w_in = 1;
  std::int64_t k_h = 1, k_w = 1, stride_h = 1, stride_w = 1;
  std::int64_t pad_top = 0, pad_bottom = 0, pad_left = 0, pad_right = 0;
  bool ceil_mode = false;
  bool count_include_pad = true;  // an average divides by the padded window, never by the overhang

  std::int64_t h_out() const;  // raise ShapeError
  std::int64_t w_out() const;
};

/// Padding never wins a maximum. A window without input gives -infinity (max) or 0 (average).
void pool2d(Isa isa, PoolKind kind, const Pool2dShape& shape, const float* x, float* y);

/// y[b][c] = mean over pixels of x[b][pixel][c].
void global_average_pool(Isa isa, const float* x, float* y, std::int64_t batch, std::int64_t pixels,
                         std::int64_t channels);

/// Copies x of [pixels][channels] to columns y_offset.. of y, whose rows are y_stride floats: once
/// an input, a concatenation along channels.
void copy_channels(Isa isa, const float* x, float* y, std::int64_t pixels, std::int64_t channels,
                   std::int64_t y_stride, std::int64_t y_offset);

/// Softmax of each row.
void softmax(Isa isa, const float* x, float* y, std::int64_t rows, std::int64_t columns);

}  // namespace alphaflops
