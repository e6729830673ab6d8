// Sums over a population by lookups in memory, tables outside and rows inside, so that a table is
// in cache while it is used and lookups of different rows overlap.
#include <algorithm>
#include <array>
#include <cstring>
#include <type_traits>

#include "space_sums.hpp"

namespace alphaflops {
namespace {

/// sums[r][...] += values[lookup of row r][...]; Columns is 0 where only `columns` knows them.
template <int Digits, int Columns>
void add_table(const Lookup& lookup, const double* values, CodesView codes, std::size_t columns,
               double* sums) {
  std::array<const std::uint8_t*, Digits> digit;
  std::array<std::size_t, Digits> stride;
  for (std::size_t d = 0; d < Digits; ++d) {
    digit[d] = codes.data + lookup.position[d];
    stride[d] = lookup.stride[d];
  }
  const double* table = values + lookup.offset;
  const std::size_t width = Columns == 0 ? columns : static_cast<std::size_t>(Columns);
  for (std::size_t r = 0; r < codes.rows; ++r) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(r) * codes.stride;
    std::size_t entry = 0;
    for (std::size_t d = 0; d < Digits; ++d) entry += stride[d] * digit[d][at];
    for (std::size_t c = 0; c < width; ++c) sums[r * width + c] += table[entry + c];
  }
}

template <int Columns>
void add_table(const Lookup& lookup, const double* values, CodesView codes, std::size_t columns,
               double* sums) {
  switch (lookup.digits) {
    case 1: return add_table<1, Columns>(lookup, values, codes, columns, sums);
    case 2: return add_table<2, Columns>(lookup, values, codes, columns, sums);
    case 3: return add_table<3, Columns>(lookup, values, codes, columns, sums);
    case 4: return add_table<4, Columns>(lookup, values, codes, columns, sums);
    default: return add_table<0, Columns>(lookup, values, codes, columns, sums);
  }
}

/// The columns of an entry as one value.
template <int Columns>
struct Packed {
  using type [[gnu::vector_size(8 * Columns)]] = double;
};
template <>
struct Packed<1> {
  using type = double;
};

/// sums[r][...] = base + entries of all pairs, of a few rows whose sums run side by side. Reads as
/// many bytes from a row's begin as there are masks.
template <int Columns, std::size_t Rows>
void add_pairs(const Evaluator::Tables& t, const std::uint8_t* codes, std::ptrdiff_t stride,
               double* sums) {
  constexpr std::size_t lanes = PairLookups::lanes;
  const PairLookups& p = t.pairs;
  std::array<std::array<std::uint16_t, PairLookups::most>, Rows> entry;
  for (std::size_t r = 0; r < Rows; ++r) {
    const std::uint8_t* code = codes + static_cast<std::ptrdiff_t>(r) * stride;
    for (std::size_t k = 0; k < p.mask.size(); k += lanes) {
      std::array<std::uint16_t, lanes> word;
      std::memcpy(word.data(), code + 2 * k, sizeof word);
      for (std::size_t i = 0; i < lanes; ++i) {
        const auto w = static_cast<std::uint16_t>(word[i] & p.mask[k + i]);
        entry[r][k + i] =
            static_cast<std::uint16_t>((w & 255) + (w >> 8) * p.stride[k + i] + p.offset[k + i]);
      }
    }
  }
  const double* const values = t.values.data();
  const std::size_t pairs = p.pairs;
  if constexpr (Columns == 0) {
    const std::size_t width = t.columns;
    for (std::size_t r = 0; r < Rows; ++r) {
      double* sum = sums + r * width;
      std::copy(t.base.begin(), t.base.end(), sum);
      for (std::size_t k = 0; k < pairs; ++k) {
        const double* of = values + entry[r][k] * width;
        for (std::size_t c = 0; c < width; ++c) sum[c] += of[c];
      }
    }
  } else if constexpr (Columns <= 2) {
    // Variables of their own: GCC keeps an array of them in memory, which costs a third of the
    // speed.
    using Sum = typename Packed<Columns>::type;
    const auto add = [&](Sum& to, std::size_t r, std::size_t k) {
      Sum value;
      std::memcpy(&value, values + std::size_t{entry[r][k]} * Columns, sizeof value);
      to += value;
    };
    Sum a;
    std::memcpy(&a, t.base.data(), sizeof a);
    Sum b = a, c = a, d = a;
    for (std::size_t k = 0; k < pairs; ++k) {
      add(a, 0, k);
      if constexpr (Rows > 1) add(b, 1, k);
      if constexpr (Rows > 1) add(c, 2, k);
      if constexpr (Rows > 1) add(d, 3, k);
    }
    std::memcpy(sums, &a, sizeof a);
    if constexpr (Rows > 1) std::memcpy(sums + Columns, &b, sizeof b);
    if constexpr (Rows > 1) std::memcpy(sums + 2 * Columns, &c, sizeof c);
    if constexpr (Rows > 1) std::memcpy(sums + 3 * Columns, &d, sizeof d);
  } else {
    using Pair = typename Packed<2>::type;
    for (std::size_t r = 0; r < Rows; ++r) {
      std::array<Pair, Columns / 2> sum;
      std::memcpy(sum.data(), t.base.data(), sizeof sum);
      for (std::size_t k = 0; k < pairs; ++k) {
        const double* of = values + std::size_t{entry[r][k]} * Columns;
        for (std::size_t c = 0; c < Columns / 2; ++c) {
          Pair value;
          std::memcpy(&value, of + 2 * c, sizeof value);
          sum[c] += value;
        }
      }
      std::memcpy(sums + r * Columns, sum.data(), sizeof sum);
    }
  }
}

template <int Columns>
void add_pairs(const Evaluator::Tables& t, CodesView codes, double* sums) {
  constexpr std::size_t together = Columns == 1 || Columns == 2 ? 4 : 1;
  std::size_t r = 0;
  const auto row = [&](std::size_t i) {
    return codes.data + static_cast<std::ptrdiff_t>(i) * codes.stride;
  };
  for (; r + together <= codes.rows; r += together) {
    add_pairs<Columns, together>(t, row(r), codes.stride, sums + r * t.columns);
  }
  for (; r < codes.rows; ++r) {
    add_pairs<Columns, 1>(t, row(r), codes.stride, sums + r * t.columns);
  }
}

void add_tables(const Evaluator::Tables& t, CodesView codes, double* sums) {
  const auto each = [&](auto columns) {
    constexpr int width = decltype(columns)::value;
    add_pairs<width>(t, codes, sums);
    for (std::size_t i = t.pairs.pairs; i < t.sums.size(); ++i) {
      add_table<width>(t.sums[i], t.values.data(), codes, t.columns, sums);
    }
  };
  switch (t.columns) {
    case 1: return each(std::integral_constant<int, 1>{});
    case 2: return each(std::integral_constant<int, 2>{});
    case 4: return each(std::integral_constant<int, 4>{});
    case 8: return each(std::integral_constant<int, 8>{});
    default: return each(std::integral_constant<int, 0>{});
  }
}

}  // namespace

LookupSums::LookupSums(const Evaluator::Tables& tables)
    : tables_(tables), sums_(block_rows * tables.columns) {
  lasts_.reserve(block_rows * tables.last.size());
  for (std::size_t i = 0; i < block_rows; ++i) {
    lasts_.insert(lasts_.end(), tables.last.begin(), tables.last.end());
  }
}

bool LookupSums::all_are_codes(CodesView codes) const {
  const std::size_t positions = tables_.last.size();
  std::uint8_t beyond = 0;
  const auto check = [&](const std::uint8_t* digits, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) beyond |= static_cast<std::uint8_t>(digits[i] > lasts_[i]);
  };
  if (codes.stride == static_cast<std::ptrdiff_t>(positions)) {
    check(codes.data, codes.rows * positions);
  } else {
    for (std::size_t r = 0; r < codes.rows; ++r) {
      check(codes.data + static_cast<std::ptrdiff_t>(r) * codes.stride, positions);
    }
  }
  return beyond == 0;
}

bool LookupSums::add(CodesView codes) {
  if (!all_are_codes(codes)) return false;
  add_tables(tables_, codes, sums_.data());
  return true;
}

}  // namespace alphaflops
