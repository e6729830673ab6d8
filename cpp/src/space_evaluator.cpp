#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>

#include "../kernels/dispatch.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/space_tables.hpp"
#include "space_data.hpp"

namespace alphaflops {
namespace {

// A joined table saves a lookup for each one it took in, as long as it stays in the first cache.
constexpr std::size_t joined_values = 1024;
constexpr std::size_t most_pair_entries = 1024;
constexpr std::size_t most_word = 65535;

constexpr std::size_t no_column = std::numeric_limits<std::size_t>::max();

/// Some columns of a table, side by side.
struct Rows {
  std::vector<int> positions;
  std::size_t entries;
  std::vector<double> values;  // [entries][columns]
};

template <typename Combine>
Rows join(const Rows& a, const Rows& b, std::size_t columns, const CompiledSpace::Data& data,
          const Combine& combine) {
  Rows joined;
  std::ranges::set_union(a.positions, b.positions, std::back_inserter(joined.positions));
  joined.entries = 1;
  for (const int p : joined.positions) joined.entries *= data.choices(p);
  joined.values.resize(joined.entries * columns);
  std::vector<std::uint8_t> code(data.positions.size(), 0);
  const SpaceTable of_a{a.positions, a.entries, {}}, of_b{b.positions, b.entries, {}};
  for (std::size_t i = 0; i < joined.entries; ++i) {
    std::size_t rest = i;
    for (const int p : joined.positions) {
      code[static_cast<std::size_t>(p)] = static_cast<std::uint8_t>(rest % data.choices(p));
      rest /= data.choices(p);
    }
    const double* from_a = &a.values[entry_of(of_a, data, code.data()) * columns];
    const double* from_b = &b.values[entry_of(of_b, data, code.data()) * columns];
    for (std::size_t c = 0; c < columns; ++c) {
      joined.values[i * columns + c] = combine(from_a[c], from_b[c]);
    }
  }
  return joined;
}

/// Joins neighbours, in the order of their positions, while the result is small.
template <typename Combine>
std::vector<Rows> join_small(std::vector<Rows> tables, std::size_t columns,
                             const CompiledSpace::Data& data, const Combine& combine) {
  std::ranges::sort(tables, {}, [](const Rows& t) { return t.positions; });
  std::vector<Rows> result;
  for (Rows& table : tables) {
    if (!result.empty()) {
      std::vector<int> both;
      std::ranges::set_union(result.back().positions, table.positions, std::back_inserter(both));
      std::size_t entries = 1;
      for (const int p : both) entries *= data.choices(p);
      if (both.size() <= most_digits && entries * columns <= joined_values) {
        result.back() = join(result.back(), table, columns, data, combine);
        continue;
      }
    }
    result.push_back(std::move(table));
  }
  return result;
}

/// Takes the tables of digits 2k, 2k + 1 or both, and makes one of each such pair; none where these
/// would be too large.
std::vector<Rows> take_pairs(std::vector<Rows>& tables, std::size_t columns,
                             const CompiledSpace::Data& data) {
  std::vector<Rows> pairs;
  std::vector<Rows> rest = tables;
  std::size_t entries = 0;
  const int positions = static_cast<int>(data.positions.size());
  if (data.positions.size() > 2 * PairLookups::most) return {};
  for (int low = 0; low < positions; low += 2) {
    std::vector<int> both{low};
    if (low + 1 < positions) both.push_back(low + 1);
    const auto theirs = std::ranges::stable_partition(
        rest, [&](const Rows& t) { return !std::ranges::includes(both, t.positions); });
    Rows pair{{}, 1, std::vector<double>(columns, 0.0)};
    for (const Rows& t : theirs) pair = join(pair, t, columns, data, std::plus{});
    entries += pair.entries;
    if (pair.entries > most_pair_entries || entries > most_word) return {};
    rest.erase(theirs.begin(), theirs.end());
    pairs.push_back(std::move(pair));
  }
  if (rest.size() == tables.size()) return {};  // no table is of such a pair
  tables = std::move(rest);
  return pairs;
}

PairLookups pair_lookups(const std::vector<Lookup>& lookups, std::size_t columns) {
  PairLookups result;
  result.pairs = lookups.size();
  for (std::size_t k = 0; k < lookups.size(); ++k) {
    const Lookup& lookup = lookups[k];
    std::uint16_t mask = 0, stride = 0;
    for (std::size_t d = 0; d < static_cast<std::size_t>(lookup.digits); ++d) {
      const bool high = static_cast<std::size_t>(lookup.position[d]) == 2 * k + 1;
      mask |= high ? 0xff00 : 0x00ff;
      if (high) stride = static_cast<std::uint16_t>(lookup.stride[d] / columns);
    }
    result.mask.push_back(mask);
    result.stride.push_back(stride);
    result.offset.push_back(static_cast<std::uint16_t>(lookup.offset / columns));
  }
  while (result.mask.size() % PairLookups::lanes != 0) {
    for (auto* lane : {&result.mask, &result.stride, &result.offset}) lane->push_back(0);
  }
  return result;
}

/// Columns whose sums are whole numbers below 2^32.
std::vector<bool> counted_columns(const std::vector<Rows>& tables,
                                  const std::vector<double>& base) {
  std::vector<bool> counted;
  for (std::size_t c = 0; c < base.size(); ++c) {
    double most = base[c];
    bool whole = most >= 0.0 && most == std::floor(most);
    for (const Rows& table : tables) {
      double largest = 0.0;
      for (std::size_t i = c; i < table.values.size(); i += base.size()) {
        const double value = table.values[i];
        whole = whole && value >= 0.0 && value == std::floor(value);
        largest = std::max(largest, value);
      }
      most += largest;
    }
    counted.push_back(whole && most < 0x1p32);
  }
  return counted;
}

/// The tables as such of single digits, if they are that and small, and there is a kernel for it.
DigitTables digit_tables(const std::vector<Rows>& tables, const std::vector<double>& base,
                         const CompiledSpace::Data& data) {
  if (tables.empty() || kernels::population_table(best_isa()) == nullptr) return {};
  constexpr std::size_t entries = DigitTables::entries;
  const std::size_t digits = (data.positions.size() + 1) / 2 * 2;
  std::vector<bool> seen(digits);
  for (const Rows& table : tables) {
    if (table.positions.size() != 1 || table.entries > entries) return {};
    const auto digit = static_cast<std::size_t>(table.positions[0]);
    if (seen[digit]) return {};
    seen[digit] = true;
  }
  DigitTables result;
  result.counted = counted_columns(tables, base);
  const auto lay_out = [&](bool counted, auto& lines) {
    using Line = std::remove_reference_t<decltype(lines[0])>;
    using Entry = typename decltype(Line::values)::value_type;
    const auto width = static_cast<std::size_t>(std::ranges::count(result.counted, counted));
    lines.resize(digits * width * entries / Line::size);
    for (const Rows& table : tables) {
      std::size_t first = static_cast<std::size_t>(table.positions[0]) * width * entries;
      for (std::size_t c = 0; c < base.size(); ++c) {
        if (result.counted[c] != counted) continue;
        for (std::size_t i = 0; i < table.entries; ++i) {
          const std::size_t at = first + i;
          lines[at / Line::size].values[at % Line::size] =
              static_cast<Entry>(table.values[i * base.size() + c]);
        }
        first += entries;
      }
    }
  };
  lay_out(false, result.values);
  lay_out(true, result.counts);
  return result;
}

void lay_out(const std::vector<Rows>& tables, std::size_t columns, const CompiledSpace::Data& data,
             std::vector<Lookup>& lookups, std::vector<double>& values) {
  for (const Rows& table : tables) {
    Lookup lookup;
    lookup.offset = values.size();
    std::size_t stride = columns;
    for (const int p : table.positions) {
      if (data.choices(p) == 1) continue;
      const auto d = static_cast<std::size_t>(lookup.digits++);
      lookup.position[d] = p;
      lookup.stride[d] = static_cast<std::uint32_t>(stride);
      stride *= data.choices(p);
    }
    lookups.push_back(lookup);
    values.insert(values.end(), table.values.begin(), table.values.end());
  }
}

/// Picks the columns that quantities need.
class Selection {
 public:
  std::size_t operator()(std::size_t column) {
    const auto known = std::ranges::find(columns_, column);
    if (known != columns_.end()) return static_cast<std::size_t>(known - columns_.begin());
    columns_.push_back(column);
    return columns_.size() - 1;
  }
  /// Padded to what the loops are made for.
  std::vector<std::size_t> padded() const {
    std::vector<std::size_t> columns = columns_;
    const std::size_t least = columns.size() <= 2 ? 1 : columns.size() <= 4 ? 4 : 8;
    while (columns.empty() || columns.size() % least != 0) columns.push_back(no_column);
    return columns;
  }

 private:
  std::vector<std::size_t> columns_;
};

Finish finish_of(const CompiledSpace::Data& data, Quantity q, Selection& select) {
  Finish finish;
  finish.integer = is_count(q.metric);
  if (q.metric == Metric::time_lo_s || q.metric == Metric::time_hi_s) {
    const bool below = q.metric == Metric::time_lo_s;
    finish.kind = Finish::Kind::interval;
    finish.column = select(data.time_column(q.profile));
    finish.scale = below ? -1.0 : 1.0;
    for (std::size_t k = 0; k < data.kinds; ++k) {
      finish.widths.push_back(
          select(below ? data.below_column(q.profile, k) : data.above_column(q.profile, k)));
    }
  } else if (q.metric == Metric::peak_memory_bytes) {
    finish.kind = Finish::Kind::peak;
    finish.column = select(column_resident_bytes);
  } else {
    const LinearQuantity linear = linear_quantity(data, q, "evaluate");
    finish.column = select(linear.column);
    finish.scale = linear.scale;
  }
  return finish;
}

}  // namespace

Evaluator CompiledSpace::evaluator(std::span<const Quantity> quantities) const {
  const Data& data = *data_;
  auto tables = std::make_shared<Evaluator::Tables>();
  tables->name = data.name;
  tables->positions = data.positions;
  for (const Position& p : data.positions) {
    tables->last.push_back(static_cast<std::uint8_t>(p.choices.size() - 1));
  }
  tables->quantities.assign(quantities.begin(), quantities.end());
  Selection select;
  bool needs_peak = false;
  for (const Quantity q : quantities) {
    data.require_profile(q.profile);
    tables->finish.push_back(finish_of(data, q, select));
    needs_peak = needs_peak || q.metric == Metric::peak_memory_bytes;
  }
  const std::vector<std::size_t> columns = select.padded();
  const std::size_t width = columns.size();
  tables->columns = width;
  for (const std::size_t c : columns) tables->base.push_back(c == no_column ? 0.0 : data.base[c]);
  std::vector<Rows> sums;
  for (const SpaceTable& t : data.sums) {
    Rows rows{t.positions, t.entries, std::vector<double>(t.entries * width, 0.0)};
    for (std::size_t c = 0; c < width; ++c) {
      if (columns[c] == no_column) continue;
      const double* from = &t.values[columns[c] * t.entries];
      for (std::size_t i = 0; i < t.entries; ++i) rows.values[i * width + c] = from[i];
    }
    sums.push_back(std::move(rows));
  }
  DigitTables digits = digit_tables(sums, tables->base, data);
  const std::vector<Rows> pairs = take_pairs(sums, width, data);
  if (!pairs.empty() && sums.empty()) tables->digits = std::move(digits);
  lay_out(pairs, width, data, tables->sums, tables->values);
  tables->pairs = pair_lookups(tables->sums, width);
  lay_out(join_small(std::move(sums), width, data, std::plus{}), width, data, tables->sums,
          tables->values);
  if (needs_peak) {
    tables->base_peak = data.base_peak;
    std::vector<Rows> peaks;
    for (const SpaceTable& t : data.peaks) peaks.push_back({t.positions, t.entries, t.values});
    const auto larger = [](double a, double b) { return std::max(a, b); };
    lay_out(join_small(std::move(peaks), 1, data, larger), 1, data, tables->peaks,
            tables->peak_values);
  }
  return Evaluator(std::move(tables));
}

const std::vector<Quantity>& Evaluator::quantities() const { return tables_->quantities; }

}  // namespace alphaflops
