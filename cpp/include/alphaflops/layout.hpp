// The order of an image's elements, and what changes it.
//
// The kernels take NHWC: all channels of a pixel side by side. A framework that holds NCHW pays for
// a transposition of [channels] x [pixels] on the way in and for one on the way out.
#pragma once

#include <cstdint>
#include <string_view>

#include "alphaflops/isa.hpp"

namespace alphaflops {

class ThreadPool;

enum class Layout : std::uint8_t { nhwc, nchw };

std::string_view to_string(Layout layout);
/// Raises UnsupportedError for a name that is neither.
Layout parse_layout(std::string_view name);

/// y[b][p][c] = x[b][c][p], fp32, on every thread of the pool where there is one. Pointers need no
/// alignment; x and y must not overlap. Raises UnsupportedError where the instruction set is not
/// available, ShapeError for a negative size, OverflowError where the sizes' product is none.
void nchw_to_nhwc(Isa isa, const float* x, float* y, std::int64_t batch, std::int64_t channels,
                  std::int64_t pixels, ThreadPool* pool = nullptr);
/// y[b][c][p] = x[b][p][c]; the same otherwise.
void nhwc_to_nchw(Isa isa, const float* x, float* y, std::int64_t batch, std::int64_t channels,
                  std::int64_t pixels, ThreadPool* pool = nullptr);

}  // namespace alphaflops
