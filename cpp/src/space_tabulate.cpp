// From the parts of a space to tables of what they cost: all rows are priced at once, and parts
// that the same positions decide share a table.
#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

#include "alphaflops/error.hpp"
#include "alphaflops/predict.hpp"
#include "space_parts.hpp"
#include "space_reuse.hpp"

namespace alphaflops {
namespace {

constexpr std::size_t most_bytes = std::size_t{1} << 31;  // of all tables

/// All rows of all parts, and each part's columns of sums.
class Columns {
 public:
  Columns(const Parts& parts, std::span<const Profile* const> profiles,
          std::optional<double> reuse_bytes, CompiledSpace::Data& data)
      : data_(data), parts_(parts), reuse_bytes_(reuse_bytes) {
    const std::vector<Priced>& priced = parts.priced;
    std::vector<const WorkTable*> tables;
    for (const Priced& p : priced) tables.push_back(&p.work);
    work_ = join(tables);
    for (const Profile* profile : profiles) require_priced(*profile);
    std::set<Kind> kinds(work_.kind.begin(), work_.kind.end());
    kinds_.assign(kinds.begin(), kinds.end());
    data.kinds = kinds_.size();
    const std::size_t columns = data.first_column(static_cast<int>(profiles.size()));
    values_.assign(priced.size(), std::vector<double>(columns, 0.0));
    std::size_t row = 0;
    for (std::size_t i = 0; i < priced.size(); ++i) {
      values_[i][column_resident_bytes] = static_cast<double>(priced[i].resident_bytes);
      first_.push_back(row);
      for (const std::size_t end = row + priced[i].work.size(); row < end; ++row) count(i, row);
    }
    first_.push_back(row);
    for (std::size_t p = 0; p < profiles.size(); ++p) add(*profiles[p], static_cast<int>(p));
  }

  const std::vector<double>& of(std::size_t priced) const { return values_[priced]; }

 private:
  void require_priced(const Profile& profile) const {
    std::set<std::string> missing;
    for (std::size_t row = 0; row < work_.size(); ++row) {
      const Kind kind = work_.kind[row];
      if (kind == Kind::unknown || profile.out_of_scope(kind) ||
          profile.find(kind, work_.pass[row], work_.dtype[row]) != nullptr) {
        continue;
      }
      missing.insert(std::string(to_string(kind)) + " in " +
                     std::string(to_string(work_.dtype[row])));
    }
    if (missing.empty()) return;
    std::string list;
    for (const std::string& one : missing) list += (list.empty() ? "" : ", ") + one;
    throw ProfileError("space '" + data_.name + "': profile '" + profile.name() +
                       "' does not price " + list +
                       ". Calibrate with these operators and dtypes, or use another profile");
  }

  void count(std::size_t part, std::size_t row) {
    std::vector<double>& to = values_[part];
    const auto element = static_cast<double>(size_of(work_.dtype[row]));
    to[column_macs] += static_cast<double>(work_.macs[row]);
    to[column_flops] += static_cast<double>(work_.flops[row]);
    to[column_params] += static_cast<double>(work_.params[row]);
    to[column_bytes_read] += element * (static_cast<double>(work_.activations_read[row]) +
                                        static_cast<double>(work_.weights_read[row]));
    to[column_bytes_written] += element * static_cast<double>(work_.elements_written[row]);
    to[column_launches] += 1.0;
  }

  void add(const Profile& profile, int number) {
    const std::size_t rows = work_.size();
    std::vector<double> time_s(rows), lo(rows), hi(rows), alpha(rows), distance(rows);
    const PredictionView view{time_s, lo, hi, alpha, distance};
    predict(work_, profile, view);
    const double constant_s = profile.weight_reuse().known() ? reuse(profile, view) : 0.0;
    std::set<std::string> unpriced;
    for (std::size_t part = 0; part < values_.size(); ++part) {
      std::vector<double>& to = values_[part];
      for (std::size_t row = first_[part]; row < first_[part + 1]; ++row) {
        const Kind kind = work_.kind[row];
        if (std::isnan(time_s[row])) {
          unpriced.insert(std::string(to_string(kind)));
          continue;
        }
        const auto slot =
            static_cast<std::size_t>(std::ranges::find(kinds_, kind) - kinds_.begin());
        to[data_.time_column(number)] += time_s[row];
        to[data_.below_column(number, slot)] += time_s[row] - lo[row];
        to[data_.above_column(number, slot)] += hi[row] - time_s[row];
        if (work_.macs[row] != 0) {
          to[data_.alpha_column(number)] += alpha[row] * static_cast<double>(work_.macs[row]);
        }
      }
    }
    data_.profiles.push_back({profile.name(),
                              profile.overhead_s() + constant_s,
                              profile.power_w(),
                              {unpriced.begin(), unpriced.end()}});
  }

  /// Lets weights come from where networks of the space find them; what all networks take on top.
  double reuse(const Profile& profile, PredictionView from_memory_s) const {
    const WeightReuse& known = profile.weight_reuse();
    std::vector<double> gained_s(work_.size(), 0.0);
    std::vector<PartTime> parts(values_.size());
    for (std::size_t part = 0; part < values_.size(); ++part) {
      for (std::size_t row = first_[part]; row < first_[part + 1]; ++row) {
        const double time_s = from_memory_s.time_s[row];
        if (std::isnan(time_s)) continue;
        gained_s[row] = time_s * (1.0 - reuse_factor(work_, row, known, 1.0));
        parts[part].time_s += time_s;
        parts[part].gained_s += gained_s[row];
      }
    }
    const ReuseSums sums =
        reuse_sums(known, parts_, parts, data_.positions, profile.overhead_s(), reuse_bytes_);
    for (std::size_t row = 0; row < work_.size(); ++row) {
      const double time_s = from_memory_s.time_s[row];
      if (!(time_s > 0.0)) continue;
      const double factor = sums.slope - sums.gain * gained_s[row] / time_s;
      from_memory_s.time_s[row] *= factor;
      from_memory_s.time_lo_s[row] *= factor;
      from_memory_s.time_hi_s[row] *= factor;
    }
    return sums.constant_s;
  }

  CompiledSpace::Data& data_;
  const Parts& parts_;
  std::optional<double> reuse_bytes_;
  WorkTable work_;
  std::vector<Kind> kinds_;
  std::vector<std::size_t> first_;
  std::vector<std::vector<double>> values_;  // [priced][columns]
};

/// The first table that a term can be added to.
std::vector<SpaceTable>::iterator holder(std::vector<SpaceTable>& tables, const Dependence& term) {
  return std::ranges::find_if(tables, [&](const SpaceTable& t) {
    return std::ranges::includes(t.positions, term.positions);
  });
}

/// Tables of zeros for all terms.
void make_tables(const std::vector<const Dependence*>& terms, std::size_t width,
                 CompiledSpace::Data& data) {
  std::size_t entries = 0;
  for (const Dependence* term : terms) {
    if (term->positions.empty() || holder(data.sums, *term) != data.sums.end()) continue;
    data.sums.push_back({term->positions, term->values.size(), {}});
    entries += term->values.size();
  }
  const std::size_t bytes = entries * (width + 1) * sizeof(double);
  if (bytes > most_bytes) {
    throw UnsupportedError(data.name + ": tables would take " + std::to_string(bytes >> 20) +
                           " MiB; at most " + std::to_string(most_bytes >> 20) +
                           " MiB are kept. Let fewer positions decide what flows from part to " +
                           "part, or compile for fewer profiles at once");
  }
  for (SpaceTable& t : data.sums) {
    t.values.assign(t.entries * width, 0.0);
    data.peaks.push_back({t.positions, t.entries, std::vector<double>(t.entries, 0.0)});
  }
}

/// Raises OverflowError where counts of the largest network would not fit in 64 bits.
void require_countable(const CompiledSpace::Data& data) {
  constexpr double most_count = 9.22e18;  // a little below 2^63, as sums of doubles are rounded
  const auto most = [](const SpaceTable& table, std::size_t column) {
    const auto first = table.values.begin() + static_cast<std::ptrdiff_t>(column * table.entries);
    return *std::max_element(first, first + static_cast<std::ptrdiff_t>(table.entries));
  };
  const auto require = [&](double count, Metric metric) {
    if (count < most_count) return;
    throw OverflowError("space '" + data.name + "': " + std::string(to_string(metric)) +
                        " of its largest network exceeds the largest 64-bit count (2^63 - 1); use "
                        "smaller sizes");
  };
  const auto sum = [&](std::size_t column) {
    double count = data.base[column];
    for (const SpaceTable& table : data.sums) count += most(table, column);
    return count;
  };
  for (std::size_t column = column_macs; column <= column_launches; ++column) {
    require(sum(column), static_cast<Metric>(static_cast<std::size_t>(Metric::macs) + column));
  }
  double peak = data.base_peak;
  for (const SpaceTable& table : data.peaks) peak = std::max(peak, most(table, 0));
  require(sum(column_resident_bytes) + peak, Metric::peak_memory_bytes);
}

}  // namespace

CompiledSpace::Data tabulate(const std::string& name, const std::vector<Position>& positions,
                             const Parts& parts, std::span<const Profile* const> profiles,
                             std::optional<double> reuse_bytes) {
  CompiledSpace::Data data;
  data.name = name;
  data.positions = positions;
  data.mode = parts.mode;
  data.parts = parts.priced.size();
  const Columns columns(parts, profiles, reuse_bytes, data);
  data.base.assign(data.first_column(static_cast<int>(profiles.size())), 0.0);
  const std::size_t width = data.base.size();
  for (int p = 0; p < static_cast<int>(profiles.size()); ++p) {
    data.base[data.time_column(p)] = data.profiles[static_cast<std::size_t>(p)].overhead_s;
  }
  std::vector<const Dependence*> terms;
  for (const Dependence& term : parts.terms) terms.push_back(&term);
  // Larger ones first, so that each smaller one finds a table that it can be added to.
  std::ranges::stable_sort(terms, std::greater{},
                           [](const Dependence* t) { return t->positions.size(); });
  make_tables(terms, width, data);
  const auto sizes = [&](int position) { return data.choices(position); };
  for (const Dependence* term : terms) {
    if (term->positions.empty()) {
      const auto at = static_cast<std::size_t>(term->values[0]);
      for (std::size_t c = 0; c < width; ++c) data.base[c] += columns.of(at)[c];
      data.base_peak = std::max(data.base_peak, static_cast<double>(parts.priced[at].peak_bytes));
      continue;
    }
    const auto table = holder(data.sums, *term);
    SpaceTable& peaks = data.peaks[static_cast<std::size_t>(table - data.sums.begin())];
    const auto from = projection(table->positions, term->positions, table->entries, sizes);
    for (std::size_t i = 0; i < table->entries; ++i) {
      const auto at = static_cast<std::size_t>(term->values[from[i]]);
      const std::vector<double>& costs = columns.of(at);
      for (std::size_t c = 0; c < width; ++c) table->values[c * table->entries + i] += costs[c];
      peaks.values[i] = std::max(peaks.values[i], static_cast<double>(parts.priced[at].peak_bytes));
    }
  }
  // Who is asked for peaks looks them up, also where no position has a say.
  if (data.peaks.empty()) data.peaks.push_back({{}, 1, {data.base_peak}});
  data.tables_of.resize(data.positions.size());
  for (std::size_t t = 0; t < data.sums.size(); ++t) {
    for (const int position : data.sums[t].positions) {
      data.tables_of[static_cast<std::size_t>(position)].push_back(t);
    }
  }
  require_countable(data);
  return data;
}

}  // namespace alphaflops
