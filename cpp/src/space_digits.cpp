// Sums over a population whose digits have small tables of their own, in registers.
#include <algorithm>
#include <array>

#include "../kernels/dispatch.hpp"
#include "space_sums.hpp"

namespace alphaflops {

static_assert(DigitSums::together == kernels::kPopulationRows);
static_assert(block_rows % DigitSums::together == 0);
static_assert(DigitTables::entries == kernels::kDigitEntries);
static_assert(2 * PairLookups::most == kernels::kPopulationWords * kernels::kWordDigits);

namespace {

const kernels::PopulationTable& kernel() { return *kernels::population_table(Isa::avx512); }

}  // namespace

DigitSums::DigitSums(const Evaluator::Tables& tables)
    : tables_(tables), sums_(block_rows * tables.columns / CacheLine<double>::size) {
  static_assert(digits == kernels::kWordDigits);
  const std::size_t words = (tables.last.size() + digits - 1) / digits;
  most_.resize(words);
  lasts_.resize(words);
  for (std::size_t word = 0; word < words; ++word) {
    for (std::size_t i = 0; i < CacheLine<std::uint8_t>::size; ++i) {
      const std::size_t p = word * digits + i % digits;
      // What is behind a row's last digit may be anything.
      lasts_[word].values[i] = p < tables.last.size() ? tables.last[p] : std::uint8_t{255};
    }
  }
}

bool DigitSums::add(CodesView codes) {
  const DigitTables& tables = tables_.digits;
  const std::vector<bool>& counted = tables.counted;
  const auto counts = static_cast<std::size_t>(std::ranges::count(counted, true));
  std::size_t before[2] = {0, 0};  // columns of each kind
  for (std::size_t c = 0; c < counted.size();) {
    const bool count = counted[c];
    std::size_t n = 1;
    while (n < kernels::kPopulationColumns && c + n < counted.size() && counted[c + n] == count)
      ++n;
    const std::size_t offset = before[count ? 1 : 0] * DigitTables::entries;
    const void* table = nullptr;
    if (count) {
      table = tables.counts.data()->values.data() + offset;
    } else {
      table = tables.values.data()->values.data() + offset;
    }
    const std::size_t width = count ? counts : counted.size() - counts;
    const kernels::PopulationArgs args{
        .codes = codes.data,
        .stride = codes.stride,
        .rows = static_cast<std::int64_t>(codes.rows),
        .pairs = static_cast<std::int64_t>(tables_.pairs.pairs),
        .tables = table,
        .digit = static_cast<std::int64_t>(width * DigitTables::entries),
        .base = tables_.base.data() + c,
        .sums = sums_.data()->values.data() + c * block_rows,
        .column = block_rows,
        .most = most_.data()->values.data(),
    };
    (count ? kernel().counts : kernel().sums)[n - 1](&args);
    before[count ? 1 : 0] += n;
    c += n;
  }
  unsigned beyond = 0;
  for (std::size_t word = 0; word < most_.size(); ++word) {
    const auto &most = most_[word].values, &last = lasts_[word].values;
    for (std::size_t i = 0; i < most.size(); ++i) beyond |= most[i] > last[i] ? 1u : 0u;
  }
  return beyond == 0;
}

Written DigitSums::write(std::size_t q, std::size_t first, std::size_t rows,
                         std::span<const Output> outputs) const {
  if (tables_.finish[q].kind != Finish::Kind::linear) return {};
  const Output& to = outputs[q];
  const std::size_t whole = rows / 8 * 8;
  std::array<kernels::QuantityArgs, 4> quantities;
  std::size_t n = 0;
  for (; n < quantities.size() && q + n < outputs.size(); ++n) {
    const Finish& f = tables_.finish[q + n];
    const Output& next = outputs[q + n];
    if (f.kind != Finish::Kind::linear || next.stride != to.stride ||
        next.data != static_cast<char*>(to.data) + 8 * n) {
      break;
    }
    quantities[n] = {sums_.data()->values.data() + f.column * block_rows, f.scale, f.integer};
  }
  const bool four = n == quantities.size();
  const auto write = four ? kernel().write_four : kernel().write_one;
  write(quantities.data(), static_cast<std::int64_t>(whole),
        static_cast<char*>(to.data) + static_cast<std::ptrdiff_t>(first) * to.stride, to.stride);
  return {four ? n : 1, whole};
}

}  // namespace alphaflops
