// Two ways to add up the tables of an evaluator over a block of codes. Their sums are the same to
// the last bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "alphaflops/space_tables.hpp"

namespace alphaflops {

inline constexpr std::size_t block_rows = 256;  // at most: they stay in the first cache

/// Quantities that were dealt with, and the first rows of them that were written.
struct Written {
  std::size_t quantities = 1, rows = 0;
};

/// Lookups of any tables.
class LookupSums {
 public:
  static constexpr std::size_t together = 1;  // rows come in multiples of it

  explicit LookupSums(const Evaluator::Tables& tables);
  /// How many bytes are read from where a row begins.
  std::size_t bytes_read() const { return 2 * tables_.pairs.mask.size(); }
  /// Whether every digit was a choice; else there are no sums.
  bool add(CodesView codes);
  /// Writes what it can of quantity q and those behind it; rows of the block are numbered from
  /// `first` on in outputs.
  Written write(std::size_t /*q*/, std::size_t /*first*/, std::size_t /*rows*/,
                std::span<const Output> /*outputs*/) const {
    return {};
  }
  /// The sum of a row and a column, by values that no store in a loop can change.
  auto sum() const {
    return [sums = sums_.data(), columns = tables_.columns](std::size_t row, std::size_t column) {
      return sums[row * columns + column];
    };
  }

 private:
  bool all_are_codes(CodesView codes) const;

  const Evaluator::Tables& tables_;
  std::vector<std::uint8_t> lasts_;  // largest digits, block_rows times over
  std::vector<double> sums_;         // [block_rows][columns]
};

/// Lookups of single digits in registers, where there are `DigitTables`.
class DigitSums {
 public:
  static constexpr std::size_t together = 32;

  explicit DigitSums(const Evaluator::Tables& tables);
  std::size_t bytes_read() const { return most_.size() * digits; }
  bool add(CodesView codes);
  Written write(std::size_t q, std::size_t first, std::size_t rows,
                std::span<const Output> outputs) const;
  auto sum() const {
    return [sums = sums_.data()->values.data()](std::size_t row, std::size_t column) {
      return sums[column * block_rows + row];
    };
  }

 private:
  static constexpr std::size_t digits = 8;  // in a word

  const Evaluator::Tables& tables_;
  std::vector<CacheLine<std::uint8_t>> most_,
      lasts_;                            // met, and allowed: a line [8][digits] a word
  std::vector<CacheLine<double>> sums_;  // [columns][block_rows]
};

}  // namespace alphaflops
