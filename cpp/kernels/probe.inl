// What the machine can do at most: multiply-adds from registers, and plain reads and writes.
#pragma once

namespace alphaflops::kernels {
namespace {

#if defined(__aarch64__)
constexpr int kPeakChains = 24;  // cover a latency of four cycles on four units, in 32 registers
#else
constexpr int kPeakChains = 12;  // cover one of four or five on two units and fit sixteen registers
#endif

double peak_fma(std::int64_t iterations, float* sink) {
  constexpr int kUnroll = 8;
  Vec acc[kPeakChains];
#pragma GCC unroll 24
  for (int i = 0; i < kPeakChains; ++i) acc[i] = splat(sink[0] + static_cast<float>(i));
  const Vec factor = splat(0.999f + sink[0]);
  const Vec term = splat(0.001f + sink[0]);
  for (std::int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnroll; ++u) {
#pragma GCC unroll 24
      for (int i = 0; i < kPeakChains; ++i) {
        // NEON (four lanes) overwrites the addend: were that not the chain, it would be copied.
        acc[i] = kLanes == 4 ? fma(factor, term, acc[i]) : fma(acc[i], factor, term);
      }
    }
  }
  Vec sum = acc[0];
#pragma GCC unroll 24
  for (int i = 1; i < kPeakChains; ++i) sum = add(sum, acc[i]);
  sink[0] = sum_lanes(sum);
  return 2.0 * kPeakChains * kUnroll * kLanes * static_cast<double>(iterations);
}

double sum_array(const float* x, std::int64_t n) {
  constexpr int kChains = 8;
  Vec acc[kChains];
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) acc[i] = splat(0.0f);
  std::int64_t k = 0;
  for (; k + kChains * kLanes <= n; k += kChains * kLanes) {
#pragma GCC unroll 8
    for (int i = 0; i < kChains; ++i) acc[i] = add(acc[i], load(x + k + i * kLanes));
  }
  double total = 0.0;
#pragma GCC unroll 8
  for (int i = 0; i < kChains; ++i) total += static_cast<double>(sum_lanes(acc[i]));
  for (; k < n; ++k) total += static_cast<double>(x[k]);
  return total;
}

void fill_array(float* y, float value, std::int64_t n) {
  const Vec v = splat(value);
  std::int64_t k = 0;
  for (; k + 4 * kLanes <= n; k += 4 * kLanes) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) store(y + k + i * kLanes, v);
  }
  for (; k < n; ++k) y[k] = value;
}

void triad_array(float* a, const float* b, const float* c, float s, std::int64_t n) {
  const Vec scale = splat(s);
  std::int64_t k = 0;
  for (; k + 4 * kLanes <= n; k += 4 * kLanes) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const std::int64_t j = k + i * kLanes;
      store(a + j, fma(load(c + j), scale, load(b + j)));
    }
  }
  for (; k < n; ++k) a[k] = b[k] + s * c[k];
}

#define AF_PROBE_TABLE {kLanes, peak_fma, sum_array, fill_array, triad_array}

}  // namespace
}  // namespace alphaflops::kernels
