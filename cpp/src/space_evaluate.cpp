// The loop over a population: codes in, sums of table entries out.
//
// Rows go in blocks that stay in the first cache, tables outside and rows inside, so that a table
// is in cache while it is used and lookups of different rows overlap.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/space_tables.hpp"
#include "alphaflops/threads.hpp"

namespace alphaflops {
namespace {

constexpr std::size_t block_rows = 256;
constexpr std::size_t rows_worth_a_thread = 8192;

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

void take_peaks(const Evaluator::Tables& t, CodesView codes, double* peaks) {
  for (const Lookup& lookup : t.peaks) {
    for (std::size_t r = 0; r < codes.rows; ++r) {
      const std::uint8_t* code = codes.data + static_cast<std::ptrdiff_t>(r) * codes.stride;
      std::size_t entry = lookup.offset;
      for (std::size_t d = 0; d < static_cast<std::size_t>(lookup.digits); ++d) {
        entry += std::size_t{lookup.stride[d]} * code[lookup.position[d]];
      }
      peaks[r] = std::max(peaks[r], t.peak_values[entry]);
    }
  }
}

template <typename Value, typename Of>
void write(std::size_t first, std::size_t rows, const Output& to, const Of& of) {
  char* at = static_cast<char*>(to.data) + static_cast<std::ptrdiff_t>(first) * to.stride;
  for (std::size_t r = 0; r < rows; ++r, at += to.stride) {
    const auto value = static_cast<Value>(of(r));
    std::memcpy(at, &value, sizeof value);
  }
}

void finish(const Evaluator::Tables& t, std::size_t first, std::size_t rows, const double* sums,
            const double* peaks, std::span<const Output> outputs) {
  for (std::size_t q = 0; q < outputs.size(); ++q) {
    const Finish& f = t.finish[q];
    const auto sum = [&](std::size_t r, std::size_t column) {
      return sums[r * t.columns + column];
    };
    switch (f.kind) {
      case Finish::Kind::linear: {
        const auto of = [&](std::size_t r) { return f.scale * sum(r, f.column); };
        if (f.integer) {
          write<std::int64_t>(first, rows, outputs[q], of);
        } else {
          write<double>(first, rows, outputs[q], of);
        }
        break;
      }
      case Finish::Kind::interval:
        write<double>(first, rows, outputs[q], [&](std::size_t r) {
          double squares = 0.0;
          for (const std::size_t w : f.widths) squares += sum(r, w) * sum(r, w);
          return std::max(0.0, sum(r, f.column) + f.scale * std::sqrt(squares));
        });
        break;
      case Finish::Kind::peak:
        write<std::int64_t>(first, rows, outputs[q],
                            [&](std::size_t r) { return sum(r, f.column) + peaks[r]; });
        break;
    }
  }
}

/// Whether every digit is a choice. `lasts` holds the largest of each position, rows times over.
bool all_are_codes(CodesView codes, const std::vector<std::uint8_t>& lasts, std::size_t positions) {
  std::uint8_t beyond = 0;
  const auto check = [&](const std::uint8_t* digits, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) beyond |= static_cast<std::uint8_t>(digits[i] > lasts[i]);
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

[[noreturn]] void fail_on_code(const Evaluator::Tables& t, CodesView codes, std::size_t first) {
  for (std::size_t r = 0; r < codes.rows; ++r) {
    for (std::size_t p = 0; p < t.last.size(); ++p) {
      const int digit =
          codes
              .data[static_cast<std::ptrdiff_t>(r) * codes.stride + static_cast<std::ptrdiff_t>(p)];
      if (digit <= t.last[p]) continue;
      throw ModelError(t.name + ": code " + std::to_string(first + r) + " has " +
                       std::to_string(digit) + " at position " + std::to_string(p) + " ('" +
                       t.positions[p].name + "'); choices run from 0 to " +
                       std::to_string(t.last[p]));
    }
  }
  throw ModelError(t.name + ": codes changed while they were read");
}

/// Rows where they are, or copied to where bytes behind the last one may be read.
CodesView readable(CodesView all, std::size_t first, std::size_t rows, std::size_t positions,
                   std::size_t bytes_ahead, std::vector<std::uint8_t>& copies) {
  const CodesView here{all.data + static_cast<std::ptrdiff_t>(first) * all.stride, rows,
                       all.stride};
  if (all.stride > 0) {
    const auto stride = static_cast<std::size_t>(all.stride);
    const std::size_t end = (all.rows - 1) * stride + positions;
    if ((first + rows - 1) * stride + bytes_ahead <= end) return here;
  }
  copies.resize(rows * positions + bytes_ahead);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::uint8_t* code = here.data + static_cast<std::ptrdiff_t>(r) * here.stride;
    std::copy(code, code + positions, copies.begin() + static_cast<std::ptrdiff_t>(r * positions));
  }
  return {copies.data(), rows, static_cast<std::ptrdiff_t>(positions)};
}

constexpr std::size_t no_row = ~std::size_t{0};

/// Evaluates rows from `first` to before `end`; the first row of a block with a bad code, or
/// no_row.
std::size_t evaluate_rows(const Evaluator::Tables& t, CodesView all, std::size_t first,
                          std::size_t end, std::span<const Output> outputs) {
  std::vector<std::uint8_t> lasts;
  lasts.reserve(block_rows * t.last.size());
  for (std::size_t i = 0; i < block_rows; ++i) {
    lasts.insert(lasts.end(), t.last.begin(), t.last.end());
  }
  std::vector<double> sums(block_rows * t.columns);
  std::vector<std::uint8_t> copies;
  std::vector<double> peaks(t.peaks.empty() ? 0 : block_rows);
  for (; first < end; first += block_rows) {
    const std::size_t rows = std::min(block_rows, end - first);
    const CodesView codes =
        readable(all, first, rows, t.last.size(), 2 * t.pairs.mask.size(), copies);
    if (!all_are_codes(codes, lasts, t.last.size())) return first;
    add_tables(t, codes, sums.data());
    peaks.assign(peaks.size(), t.base_peak);
    take_peaks(t, codes, peaks.data());
    finish(t, first, rows, sums.data(), peaks.data(), outputs);
  }
  return no_row;
}

}  // namespace

void Evaluator::evaluate(CodesView codes, std::span<const Output> outputs, int threads) const {
  const Tables& t = *tables_;
  if (outputs.size() != t.quantities.size()) {
    throw ModelError(t.name + ": " + std::to_string(outputs.size()) + " outputs for " +
                     std::to_string(t.quantities.size()) + " quantities; give one each");
  }
  if (threads < 0) {
    throw ModelError(t.name + ": threads is " + std::to_string(threads) +
                     "; give 1 or more, or 0 for one a processor");
  }
  const auto wanted = static_cast<std::size_t>(threads == 0 ? processor_count() : threads);
  const std::size_t shares = std::clamp<std::size_t>(codes.rows / rows_worth_a_thread, 1, wanted);
  std::vector<std::size_t> bad(shares, no_row);
  const auto share = [&](std::size_t i) {
    bad[i] =
        evaluate_rows(t, codes, codes.rows * i / shares, codes.rows * (i + 1) / shares, outputs);
  };
  std::vector<std::jthread> others;
  for (std::size_t i = 1; i < shares; ++i) others.emplace_back(share, i);
  share(0);
  others.clear();
  for (const std::size_t first : bad) {
    if (first == no_row) continue;
    const CodesView rest{codes.data + static_cast<std::ptrdiff_t>(first) * codes.stride,
                         codes.rows - first, codes.stride};
    fail_on_code(t, rest, first);
  }
}

}  // namespace alphaflops
