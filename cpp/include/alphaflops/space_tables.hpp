// Tables of an evaluator, laid out for looking up: all columns of an entry side by side, small
// tables joined to larger ones. For those who evaluate elsewhere, such as on a GPU.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "alphaflops/compiled_space.hpp"

namespace alphaflops {

inline constexpr int most_digits = 4;  // positions that a table is looked up by

/// values[offset + sum of stride[d] * code[position[d]]] and the columns - 1 values behind it.
struct Lookup {
  std::int32_t digits = 0;
  std::array<std::int32_t, most_digits> position{};
  std::array<std::uint32_t, most_digits> stride{};
  std::size_t offset = 0;
};

/// The first lookups again, as those of neighbouring digits 2k and 2k + 1, which a processor
/// computes many at a time: with w the two bytes there as one little-endian word, masked, the entry
/// is (w % 256) + (w / 256) * stride + offset, and its columns begin at values[entry * columns].
struct PairLookups {
  static constexpr std::size_t lanes = 8, most = 128;
  std::size_t pairs = 0;  // the first lookups of all, at most `most`
  // Padded to a multiple of `lanes`.
  std::vector<std::uint16_t> mask{}, stride{}, offset{};
};

template <typename T>
struct alignas(64) CacheLine {
  static constexpr std::size_t size = 64 / sizeof(T);
  std::array<T, size> values{};
};

/// The pairs once more, as tables of one digit each, where these are all that there is and every
/// one fits in registers of this processor; else nothing. An entry of a pair is the sum of its
/// digits'.
struct DigitTables {
  static constexpr std::size_t entries = 16;
  std::vector<bool> counted{};  // columns whose sums are whole numbers below 2^32
  // [pairs][2][columns that are not counted, or are][entries]
  std::vector<CacheLine<double>> values{};
  std::vector<CacheLine<std::uint32_t>> counts{};

  bool empty() const { return counted.empty(); }
};

/// How sums become a quantity.
struct Finish {
  enum class Kind : std::uint8_t {
    linear,    // scale * sums[column]
    interval,  // max(0, sums[column] + scale * sqrt(sum of squares of sums[widths...]))
    peak,      // sums[column] + the peak
  };
  Kind kind = Kind::linear;
  std::size_t column = 0;
  double scale = 1.0;
  std::vector<std::size_t> widths{};
  bool integer = false;
};

struct Evaluator::Tables {
  std::string name;
  std::vector<Position> positions;
  std::vector<std::uint8_t> last;  // the largest choice of each position
  std::vector<Quantity> quantities;
  std::vector<Finish> finish;  // of each quantity

  std::size_t columns = 1;
  std::vector<double> base;  // [columns]
  std::vector<Lookup> sums;
  PairLookups pairs;
  DigitTables digits;
  std::vector<double> values;
  // Empty unless asked for.
  double base_peak = 0.0;
  std::vector<Lookup> peaks;
  std::vector<double> peak_values;
};

}  // namespace alphaflops
