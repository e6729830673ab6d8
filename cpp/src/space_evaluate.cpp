// The loop over a population: codes in, sums of table entries out.
//
// Rows go in blocks that stay in the first cache.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/space_tables.hpp"
#include "alphaflops/threads.hpp"
#include "space_sums.hpp"
#include "start_thread.hpp"

namespace alphaflops {
namespace {

constexpr std::size_t rows_worth_a_thread = 8192;

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

/// Writes `rows` values from row `first` of the output on.
template <typename Value, typename Of>
void write(std::size_t first, std::size_t rows, const Output& to, const Of& of) {
  char* at = static_cast<char*>(to.data) + static_cast<std::ptrdiff_t>(first) * to.stride;
  for (std::size_t r = 0; r < rows; ++r, at += to.stride) {
    const auto value = static_cast<Value>(of(r));
    std::memcpy(at, &value, sizeof value);
  }
}

/// One quantity of rows from `done` to before `rows` of a block, which begins at row `first`.
template <typename Sum>
void finish(const Finish& f, const Sum& sum, const double* peaks, std::size_t first,
            std::size_t done, std::size_t rows, const Output& to) {
  const auto each = [&]<typename Value>(Value, const auto& of) {
    write<Value>(first + done, rows - done, to, [&](std::size_t r) { return of(done + r); });
  };
  switch (f.kind) {
    case Finish::Kind::linear: {
      const auto of = [sum, scale = f.scale, column = f.column](std::size_t r) {
        return scale * sum(r, column);
      };
      if (f.integer) {
        each(std::int64_t{}, of);
      } else {
        each(double{}, of);
      }
      break;
    }
    case Finish::Kind::interval:
      each(double{}, [&](std::size_t r) {
        double squares = 0.0;
        for (const std::size_t w : f.widths) squares += sum(r, w) * sum(r, w);
        return std::max(0.0, sum(r, f.column) + f.scale * std::sqrt(squares));
      });
      break;
    case Finish::Kind::peak:
      each(std::int64_t{}, [&](std::size_t r) { return sum(r, f.column) + peaks[r]; });
      break;
  }
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

/// Rows where they are; or copied to where bytes behind the last one may be read, codes of zeros
/// behind them up to a multiple of `together`.
CodesView readable(CodesView all, std::size_t first, std::size_t rows, std::size_t positions,
                   std::size_t together, std::size_t bytes_read,
                   std::vector<std::uint8_t>& copies) {
  const CodesView here{all.data + static_cast<std::ptrdiff_t>(first) * all.stride, rows,
                       all.stride};
  if (all.stride > 0 && rows % together == 0) {
    const auto stride = static_cast<std::size_t>(all.stride);
    const std::size_t end = (all.rows - 1) * stride + positions;
    if ((first + rows - 1) * stride + bytes_read <= end) return here;
  }
  const std::size_t whole = (rows + together - 1) / together * together;
  copies.assign(whole * positions + bytes_read, 0);
  for (std::size_t r = 0; r < rows; ++r) {
    const std::uint8_t* code = here.data + static_cast<std::ptrdiff_t>(r) * here.stride;
    std::copy(code, code + positions, copies.begin() + static_cast<std::ptrdiff_t>(r * positions));
  }
  return {copies.data(), whole, static_cast<std::ptrdiff_t>(positions)};
}

constexpr std::size_t no_row = ~std::size_t{0};

/// Evaluates rows from `first` to before `end`; the first row of a block with a bad code, or
/// no_row.
template <typename Sums>
std::size_t evaluate_rows(const Evaluator::Tables& t, CodesView all, std::size_t first,
                          std::size_t end, std::span<const Output> outputs) {
  Sums sums(t);
  std::vector<std::uint8_t> copies;
  std::vector<double> peaks(t.peaks.empty() ? 0 : block_rows);
  for (; first < end; first += block_rows) {
    const std::size_t rows = std::min(block_rows, end - first);
    const CodesView codes =
        readable(all, first, rows, t.last.size(), Sums::together, sums.bytes_read(), copies);
    if (!sums.add(codes)) return first;
    peaks.assign(peaks.size(), t.base_peak);
    take_peaks(t, {codes.data, rows, codes.stride}, peaks.data());
    for (std::size_t q = 0; q < outputs.size();) {
      const Written written = sums.write(q, first, rows, outputs);
      for (const std::size_t end_q = q + written.quantities; q < end_q; ++q) {
        finish(t.finish[q], sums.sum(), peaks.data(), first, written.rows, rows, outputs[q]);
      }
    }
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
    const std::size_t first = codes.rows * i / shares, end = codes.rows * (i + 1) / shares;
    bad[i] = t.digits.empty() ? evaluate_rows<LookupSums>(t, codes, first, end, outputs)
                              : evaluate_rows<DigitSums>(t, codes, first, end, outputs);
  };
  {
    JoinedThreads others;
    for (std::size_t i = 1; i < shares; ++i) {
      start_thread(t.name, static_cast<int>(shares), others.threads, [&share, i] { share(i); });
    }
    share(0);
  }
  for (const std::size_t first : bad) {
    if (first == no_row) continue;
    const CodesView rest{codes.data + static_cast<std::ptrdiff_t>(first) * codes.stride,
                         codes.rows - first, codes.stride};
    fail_on_code(t, rest, first);
  }
}

}  // namespace alphaflops
