#include "alphaflops/compiled_space.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "alphaflops/error.hpp"
#include "space_data.hpp"

namespace alphaflops {
namespace {

constexpr std::array<std::string_view, metric_count> metric_names{
    "time_s", "time_lo_s", "time_hi_s",  "energy_j",      "alpha_flops", "macs",
    "flops",  "params",    "bytes_read", "bytes_written", "launches",    "peak_memory_bytes"};

}  // namespace

std::string_view to_string(Metric metric) { return metric_names[static_cast<std::size_t>(metric)]; }

Metric parse_metric(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < metric_names.size(); ++i) {
    if (metric_names[i] == name) return static_cast<Metric>(i);
    known += (i == 0 ? "" : ", ") + std::string(metric_names[i]);
  }
  throw UnsupportedError("metric '" + std::string(name) + "' is not known; use one of " + known);
}

bool is_count(Metric metric) { return metric >= Metric::macs; }

void CompiledSpace::Data::require_profile(int profile) const {
  if (profile >= 0 && static_cast<std::size_t>(profile) < profiles.size()) return;
  throw ModelError(name + ": there is no profile " + std::to_string(profile) +
                   "; the space was compiled for " + std::to_string(profiles.size()));
}

void require_code(const std::string& space, const std::vector<Position>& positions,
                  std::span<const std::uint8_t> code) {
  if (code.size() != positions.size()) {
    throw ModelError(space + ": a code has " + std::to_string(code.size()) +
                     " positions; it must have " + std::to_string(positions.size()));
  }
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (code[i] < positions[i].choices.size()) continue;
    throw ModelError(space + ": the code has " + std::to_string(code[i]) + " at position " +
                     std::to_string(i) + " ('" + positions[i].name + "'); choices run from 0 to " +
                     std::to_string(positions[i].choices.size() - 1));
  }
}

LinearQuantity linear_quantity(const CompiledSpace::Data& data, Quantity quantity,
                               const char* what) {
  data.require_profile(quantity.profile);
  switch (quantity.metric) {
    case Metric::time_s: return {data.time_column(quantity.profile), 1.0};
    case Metric::energy_j: {
      const auto& power_w = data.profiles[static_cast<std::size_t>(quantity.profile)].power_w;
      return {data.time_column(quantity.profile),
              power_w.value_or(std::numeric_limits<double>::quiet_NaN())};
    }
    case Metric::alpha_flops: return {data.alpha_column(quantity.profile), 1.0};
    case Metric::macs: return {column_macs, 1.0};
    case Metric::flops: return {column_flops, 1.0};
    case Metric::params: return {column_params, 1.0};
    case Metric::bytes_read: return {column_bytes_read, 1.0};
    case Metric::bytes_written: return {column_bytes_written, 1.0};
    case Metric::launches: return {column_launches, 1.0};
    default:
      throw UnsupportedError(
          data.name + ": " + what + " of " + std::string(to_string(quantity.metric)) +
          " is not to be had, as it is no sum over positions; evaluate the codes");
  }
}

const std::string& CompiledSpace::name() const { return data_->name; }
const std::vector<Position>& CompiledSpace::positions() const { return data_->positions; }
int CompiledSpace::profiles() const { return static_cast<int>(data_->profiles.size()); }
Mode CompiledSpace::mode() const { return data_->mode; }
std::size_t CompiledSpace::parts() const { return data_->parts; }

std::size_t CompiledSpace::bytes() const {
  std::size_t values = data_->base.size();
  for (const SpaceTable& t : data_->sums) values += t.values.size();
  for (const SpaceTable& t : data_->peaks) values += t.values.size();
  return values * sizeof(double);
}

const std::vector<std::string>& CompiledSpace::unpriced(int profile) const {
  data_->require_profile(profile);
  return data_->profiles[static_cast<std::size_t>(profile)].unpriced;
}

double CompiledSpace::evaluate(std::span<const std::uint8_t> code, Quantity quantity) const {
  const Data& data = *data_;
  require_code(data.name, data.positions, code);
  data.require_profile(quantity.profile);
  const auto sum = [&](std::size_t column) {
    double value = data.base[column];
    for (const SpaceTable& t : data.sums) {
      value += t.values[column * t.entries + entry_of(t, data, code.data())];
    }
    return value;
  };
  if (quantity.metric == Metric::peak_memory_bytes) {
    double peak = data.base_peak;
    for (const SpaceTable& t : data.peaks) {
      peak = std::max(peak, t.values[entry_of(t, data, code.data())]);
    }
    return sum(column_resident_bytes) + peak;
  }
  if (quantity.metric == Metric::time_lo_s || quantity.metric == Metric::time_hi_s) {
    const bool below = quantity.metric == Metric::time_lo_s;
    double squares = 0.0;
    for (std::size_t k = 0; k < data.kinds; ++k) {
      const double width = sum(below ? data.below_column(quantity.profile, k)
                                     : data.above_column(quantity.profile, k));
      squares += width * width;
    }
    const double time_s = sum(data.time_column(quantity.profile));
    return below ? std::max(0.0, time_s - std::sqrt(squares)) : time_s + std::sqrt(squares);
  }
  const LinearQuantity linear = linear_quantity(data, quantity, "evaluate");
  return linear.scale * sum(linear.column);
}

double CompiledSpace::delta(std::span<const std::uint8_t> code, int position, int choice,
                            Quantity quantity) const {
  const Data& data = *data_;
  const LinearQuantity linear = linear_quantity(data, quantity, "delta");
  if (position < 0 || static_cast<std::size_t>(position) >= data.positions.size()) {
    throw ModelError(data.name + ": there is no position " + std::to_string(position) +
                     "; there are " + std::to_string(data.positions.size()));
  }
  const auto at = static_cast<std::size_t>(position);
  if (choice < 0 || static_cast<std::size_t>(choice) >= data.choices(position)) {
    throw ModelError(data.name + ": position " + std::to_string(position) + " ('" +
                     data.positions[at].name + "') has no choice " + std::to_string(choice) +
                     "; choices run from 0 to " + std::to_string(data.choices(position) - 1));
  }
  require_code(data.name, data.positions, code);
  double change = 0.0;
  for (const std::size_t number : data.tables_of[at]) {
    const SpaceTable& t = data.sums[number];
    std::size_t before = 0, after = 0, stride = 1;
    for (const int p : t.positions) {
      const std::size_t digit = code[static_cast<std::size_t>(p)];
      before += stride * digit;
      after += stride * (p == position ? static_cast<std::size_t>(choice) : digit);
      stride *= data.choices(p);
    }
    const double* values = &t.values[linear.column * t.entries];
    change += values[after] - values[before];
  }
  return linear.scale * change;
}

double CompiledSpace::expected(std::span<const double> probabilities, std::span<double> gradient,
                               Quantity quantity) const {
  const Data& data = *data_;
  const LinearQuantity linear = linear_quantity(data, quantity, "expected");
  std::vector<std::size_t> first;
  std::size_t total = 0;
  for (const Position& p : data.positions) {
    first.push_back(total);
    total += p.choices.size();
  }
  if (probabilities.size() != total || (!gradient.empty() && gradient.size() != total)) {
    throw ModelError(data.name + ": there are " + std::to_string(probabilities.size()) +
                     " probabilities; it needs " + std::to_string(total) +
                     ", one a choice of every position");
  }
  for (std::size_t p = 0; p < data.positions.size(); ++p) {
    for (std::size_t c = 0; c < data.positions[p].choices.size(); ++c) {
      const double value = probabilities[first[p] + c];
      if (std::isfinite(value) && value >= 0.0) continue;
      throw ModelError(data.name + ": the probability of choice '" + data.positions[p].choices[c] +
                       "' at position " + std::to_string(p) + " ('" + data.positions[p].name +
                       "') is " + std::to_string(value) + "; it must be finite and at least 0");
    }
  }
  std::ranges::fill(gradient, 0.0);
  double mean = data.base[linear.column];
  std::vector<std::size_t> at;
  for (const SpaceTable& t : data.sums) {
    const double* values = &t.values[linear.column * t.entries];
    const std::size_t digits = t.positions.size();
    at.assign(digits, 0);
    for (std::size_t d = 0; d < digits; ++d) {
      at[d] = first[static_cast<std::size_t>(t.positions[d])];
    }
    for (std::size_t i = 0; i < t.entries; ++i) {
      double weight = 1.0;
      for (const std::size_t a : at) weight *= probabilities[a];
      mean += weight * values[i];
      for (std::size_t d = 0; d < digits && !gradient.empty(); ++d) {
        double others = 1.0;
        for (std::size_t e = 0; e < digits; ++e) others *= e == d ? 1.0 : probabilities[at[e]];
        gradient[at[d]] += linear.scale * others * values[i];
      }
      for (std::size_t d = 0; d < digits; ++d) {  // the next entry
        const auto p = static_cast<std::size_t>(t.positions[d]);
        if (++at[d] < first[p] + data.positions[p].choices.size()) break;
        at[d] = first[p];
      }
    }
  }
  return linear.scale * mean;
}

}  // namespace alphaflops
