// Logarithm, exponential and conversion as straight arithmetic, which a compiler can vectorise.
// Errors are below 1e-15 where arguments are normal and positive (log), or from -708 to 709 (exp).
#pragma once

#include <cstdint>

namespace alphaflops::kernels {
namespace {

#define AF_REAL inline __attribute__((always_inline))

AF_REAL double from_bits(std::uint64_t bits) { return __builtin_bit_cast(double, bits); }
AF_REAL std::uint64_t bits_of(double x) { return __builtin_bit_cast(std::uint64_t, x); }
AF_REAL double larger(double a, double b) { return a > b ? a : b; }
AF_REAL double smaller(double a, double b) { return a < b ? a : b; }

constexpr double kLn2High = 0x1.62e42fee00000p-1;  // its product with an exponent is exact
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;
constexpr double kTwo52 = 0x1p52;
constexpr double kLeast = 1e-300;  // in place of zero, where a logarithm or quotient is taken

/// x >= 0 as a double. AVX2 has no conversion of 64-bit integers: two halves, each in the low bits
/// of a power of two.
AF_REAL double real(std::int64_t x) {
#if defined(__AVX2__) && !defined(__AVX512DQ__)
  const auto u = static_cast<std::uint64_t>(x);
  const double high = from_bits((u >> 32) | 0x4530000000000000u);  // 2^84 + high 2^32
  const double low = from_bits((u & 0xffffffffu) | 0x4330000000000000u);
  return (high - (0x1p84 + kTwo52)) + low;
#else
  return static_cast<double>(x);
#endif
}

/// ln x = e ln 2 + 2 artanh((m - 1) / (m + 1)), x = m 2^e, m from sqrt(1/2) to sqrt(2).
AF_REAL double ln(double x) {
  constexpr std::uint64_t one = 0x3ff0000000000000u, root_half = 0x3fe6a09e667f3bcdu;
  const std::uint64_t exponent = (bits_of(x) + (one - root_half)) >> 52;  // e + 1023
  const double m = from_bits(bits_of(x) - (exponent << 52) + one);
  const double e = from_bits(exponent | 0x4330000000000000u) - (kTwo52 + 1023.0);
  const double z = (m - 1) / (m + 1);
  const double w = z * z;
  // Pairs of pairs of terms: a chain of ten would leave the processor waiting.
  const double w2 = w * w, w4 = w2 * w2;
  const double low = (1.0 / 3 + w * (1.0 / 5)) + w2 * (1.0 / 7 + w * (1.0 / 9));
  const double high = (1.0 / 11 + w * (1.0 / 13)) + w2 * (1.0 / 15 + w * (1.0 / 17));
  const double sum = low + w4 * (high + w4 * (1.0 / 19 + w * (1.0 / 21)));
  return e * kLn2High + (2 * z + (2 * z * w * sum + e * kLn2Low));
}

/// e^x = 2^n e^r, |r| <= ln 2 / 2, by its series.
AF_REAL double exp_of(double x) {
  constexpr double magic = 0x1.8p52;  // added, it leaves the nearest integer in the low bits
  const double bounded = larger(smaller(x, 709.0), -708.0);
  const double shifted = bounded * 0x1.71547652b82fep0 + magic;
  const double n = shifted - magic;
  const double r = (bounded - n * kLn2High) - n * kLn2Low;
  const double r2 = r * r, r4 = r2 * r2;
  const double first = (1.0 / 2 + r * (1.0 / 6)) + r2 * (1.0 / 24 + r * (1.0 / 120));
  const double second = (1.0 / 720 + r * (1.0 / 5040)) + r2 * (1.0 / 40320 + r * (1.0 / 362880));
  const double third =
      (1.0 / 3628800 + r * (1.0 / 39916800)) + r2 * (1.0 / 479001600 + r * (1.0 / 6227020800));
  const double sum = 1 + (r + r2 * (first + r4 * (second + r4 * third)));
  return sum * from_bits((bits_of(shifted) + 1023) << 52);
}

}  // namespace
}  // namespace alphaflops::kernels
