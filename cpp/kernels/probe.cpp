// Drives the probes of peak arithmetic, memory and clock.
#include "alphaflops/probe.hpp"

#include <string>

#include "alphaflops/error.hpp"
#include "dispatch.hpp"

namespace alphaflops {
namespace {

void at_least(std::int64_t least, std::int64_t value, const char* what) {
  if (value < least) {
    throw ShapeError(std::string(what) + " is " + std::to_string(value) + "; it must be " +
                     std::to_string(least) + " or more");
  }
}

}  // namespace

double peak_fma(Isa isa, std::int64_t iterations) {
  at_least(0, iterations, "peak_fma: iterations");
  float sink = 0.0f;
  const double flops = kernels::table(isa).probe->peak_fma(iterations, &sink);
  // A call through a table cannot be dropped, its result could be: keep it alive.
  volatile float keep = sink;
  static_cast<void>(keep);
  return flops;
}

double peak_bf16(Isa isa, std::int64_t iterations) {
  at_least(0, iterations, "peak_bf16: iterations");
  float sink = 0.0f;
  const double operations = kernels::bf16_table(isa).peak(iterations, &sink);
  volatile float keep = sink;
  static_cast<void>(keep);
  return operations;
}

double peak_int8(Isa isa, std::int64_t iterations) {
  at_least(0, iterations, "peak_int8: iterations");
  std::int32_t sink = 0;
  const double operations = kernels::int8_table(isa).peak(iterations, &sink);
  volatile std::int32_t keep = sink;
  static_cast<void>(keep);
  return operations;
}

double stream_sum(Isa isa, const float* x, std::int64_t n) {
  at_least(0, n, "stream_sum: n");
  return kernels::table(isa).probe->sum(x, n);
}

double stream_fill(Isa isa, float* y, float value, std::int64_t n) {
  at_least(1, n, "stream_fill: n");
  kernels::table(isa).probe->fill(y, value, n);
  return static_cast<double>(y[n / 2]);
}

double stream_triad(Isa isa, float* a, const float* b, const float* c, float s, std::int64_t n) {
  at_least(1, n, "stream_triad: n");
  kernels::table(isa).probe->triad(a, b, c, s, n);
  return static_cast<double>(a[n / 2]);
}

std::int64_t dependent_adds(std::int64_t n) {
  at_least(0, n, "dependent_adds: n");
  constexpr std::int64_t kUnroll = 64;
  std::int64_t sum = 0;
  std::int64_t one = 1;
  // The empty assembly hides the values: the compiler cannot merge two additions, and adds a
  // register, as constants are added while instructions are renamed, six a cycle, since Intel's
  // Golden Cove.
  asm volatile("" : "+r"(one));
  for (std::int64_t i = 0; i < n / kUnroll; ++i) {
#pragma GCC unroll 64
    for (std::int64_t j = 0; j < kUnroll; ++j) {
      sum += one;
      asm volatile("" : "+r"(sum));
    }
  }
  for (std::int64_t i = 0; i < n % kUnroll; ++i) {
    sum += one;
    asm volatile("" : "+r"(sum));
  }
  return sum;
}

}  // namespace alphaflops
