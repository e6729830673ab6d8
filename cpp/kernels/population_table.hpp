// Sums over a population of codes whose tables are small enough to lie in registers.
#pragma once

#include <cstdint>

namespace alphaflops::kernels {

inline constexpr int kDigitEntries = 16;     // of a table: two registers of AVX-512
inline constexpr int kPopulationRows = 32;   // rows come in multiples of it
inline constexpr int kWordDigits = 8;        // digits that are read at once
inline constexpr int kPopulationWords = 32;  // of a code, at most
inline constexpr int kPopulationColumns = 4;

// sums[c * column + r] = base[c] + (first digit's entry + second digit's) + (third's + fourth's)
// ...
struct PopulationArgs {
  const unsigned char* codes;  // of each row as many whole words are read as hold its digits
  std::int64_t stride, rows;
  std::int64_t pairs;
  const void* tables;  // [pairs][2][all columns][kDigitEntries], on a cache line
  std::int64_t digit;  // from one digit's tables to the next
  const double* base;
  double* sums;
  std::int64_t column;
  // Raised to the largest digits of the rows: [words][8][kWordDigits], every eighth row in one
  // place. Only the low four bits of a digit choose an entry, so that what is no choice does no
  // harm.
  unsigned char* most;
};

// scale * sums[row], written as a double or as an int64.
struct QuantityArgs {
  const double* sums;
  double scale;
  bool integer;
};

struct PopulationTable {
  // [columns - 1]; tables are double, or uint32 where no sum reaches 2^32.
  void (*sums[kPopulationColumns])(const PopulationArgs*);
  void (*counts[kPopulationColumns])(const PopulationArgs*);
  // Quantity i of row r goes to to + r * stride + 8 * i; rows come in multiples of 8.
  void (*write_one)(const QuantityArgs*, std::int64_t rows, char* to, std::int64_t stride);
  void (*write_four)(const QuantityArgs*, std::int64_t rows, char* to, std::int64_t stride);
};

extern const PopulationTable population_avx512;

}  // namespace alphaflops::kernels
