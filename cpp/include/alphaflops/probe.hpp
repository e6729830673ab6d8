// What the machine can do at most: the denominators that a kernel's speed is quoted against.
//
// Time a call from outside; each returns something that depends on all it did.
#pragma once

#include <cstdint>

#include "alphaflops/isa.hpp"

namespace alphaflops {

/// Runs a loop of independent multiply-adds (a multiply and an add where the instruction set has no
/// fused one) that touches registers only. Returns the flops done, two a multiply-add.
double peak_fma(Isa isa, std::int64_t iterations);

/// The same for dot products of bf16 pairs into fp32, and of quadruples of unsigned and signed
/// bytes into int32. Returns the operations done, a multiplication and an addition each counted.
double peak_bf16(Isa isa, std::int64_t iterations);
double peak_int8(Isa isa, std::int64_t iterations);

/// Reads n floats; returns their sum.
double stream_sum(Isa isa, const float* x, std::int64_t n);

/// Writes n floats; returns one of them.
double stream_fill(Isa isa, float* y, float value, std::int64_t n);

/// a = b + s * c over n floats; returns one of them.
double stream_triad(Isa isa, float* a, const float* b, const float* c, float s, std::int64_t n);

/// A chain of n dependent one-cycle additions, so that n / time estimates the clock. Returns n.
std::int64_t dependent_adds(std::int64_t n);

}  // namespace alphaflops
