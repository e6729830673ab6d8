// The cheapest and the dearest network of a space, by eliminating one position after another.
//
// All tables that a position has a say in become one table over the other positions, whose entries
// are the best that this position can do there. Exact, and quick where few positions depend on each
// other (Bertele and Brioschi, "Nonserial Dynamic Programming", 1972).
#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"
#include "space_data.hpp"

namespace alphaflops {
namespace {

class Elimination {
 public:
  Elimination(const CompiledSpace::Data& data, std::size_t column, double sign)
      : data_(data),
        sign_(sign),
        value_(sign * data.base[column]),
        tables_of_(data.tables_of),
        code_(data.positions.size(), 0) {
    for (const SpaceTable& t : data.sums) {
      SpaceTable one{t.positions, t.entries, {}};
      for (std::size_t i = 0; i < t.entries; ++i) {
        one.values.push_back(sign * t.values[column * t.entries + i]);
      }
      tables_.push_back(std::move(one));
    }
    for (std::size_t p = 0; p < data.positions.size(); ++p) {
      entries_.push_back(entries(neighbours(static_cast<int>(p))));
    }
  }

  /// The least of sign * cost, and its code.
  std::pair<double, std::vector<std::uint8_t>> run() {
    std::vector<int> left(data_.positions.size());
    std::iota(left.begin(), left.end(), 0);
    while (!left.empty()) {
      const auto next = std::ranges::min_element(
          left, {}, [this](int p) { return entries_[static_cast<std::size_t>(p)]; });
      eliminate(*next);
      left.erase(next);
    }
    std::ranges::fill(code_, std::uint8_t{0});
    for (auto it = decided_.rbegin(); it != decided_.rend(); ++it) {
      const SpaceTable shape{it->positions, it->best.size(), {}};
      code_[static_cast<std::size_t>(it->position)] =
          it->best[entry_of(shape, data_, code_.data())];
    }
    return {sign_ * value_, std::move(code_)};
  }

 private:
  struct Decision {
    int position;
    std::vector<int> positions;  // that it depends on
    std::vector<std::uint8_t> best;
  };

  std::vector<int> neighbours(int position) const {
    std::vector<int> all;
    for (const std::size_t table : tables_of_[static_cast<std::size_t>(position)]) {
      std::vector<int> both;
      std::ranges::set_union(all, tables_[table].positions, std::back_inserter(both));
      all = std::move(both);
    }
    std::erase(all, position);
    return all;
  }

  std::size_t entries(const std::vector<int>& positions) const {
    std::size_t count = 1;
    for (const int p : positions) count = std::min(count * data_.choices(p), most_entries + 1);
    return count;
  }

  void eliminate(int position) {
    Decision decision{position, neighbours(position), {}};
    const std::size_t count = entries(decision.positions);
    if (count > most_entries) {
      throw UnsupportedError(data_.name + ": bounds need a table of more than " +
                             std::to_string(most_entries) +
                             " entries, as too many positions depend on each other");
    }
    const std::vector<std::size_t> mine = tables_of_[static_cast<std::size_t>(position)];
    SpaceTable result{decision.positions, count, {}};
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t rest = i;
      for (const int p : decision.positions) {
        code_[static_cast<std::size_t>(p)] = static_cast<std::uint8_t>(rest % data_.choices(p));
        rest /= data_.choices(p);
      }
      double best = 0.0;
      std::uint8_t best_choice = 0;
      for (std::size_t c = 0; c < data_.choices(position); ++c) {
        code_[static_cast<std::size_t>(position)] = static_cast<std::uint8_t>(c);
        double sum = 0.0;
        for (const std::size_t t : mine) {
          sum += tables_[t].values[entry_of(tables_[t], data_, code_.data())];
        }
        if (c > 0 && sum >= best) continue;
        best = sum;
        best_choice = static_cast<std::uint8_t>(c);
      }
      result.values.push_back(best);
      decision.best.push_back(best_choice);
    }
    replace(mine, std::move(result));
    decided_.push_back(std::move(decision));
  }

  /// Puts one table in the place of those of an eliminated position.
  void replace(const std::vector<std::size_t>& mine, SpaceTable result) {
    for (const std::size_t t : mine) tables_[t].values = {};
    if (result.positions.empty()) {
      value_ += result.values[0];
      return;
    }
    const std::vector<int> positions = result.positions;
    tables_.push_back(std::move(result));
    for (const int p : positions) {
      std::vector<std::size_t>& tables = tables_of_[static_cast<std::size_t>(p)];
      std::erase_if(tables, [&](std::size_t t) { return std::ranges::binary_search(mine, t); });
      tables.push_back(tables_.size() - 1);
    }
    for (const int p : positions) entries_[static_cast<std::size_t>(p)] = entries(neighbours(p));
  }

  const CompiledSpace::Data& data_;
  double sign_;
  double value_;
  std::vector<SpaceTable> tables_;                   // those in use, and empty ones
  std::vector<std::vector<std::size_t>> tables_of_;  // of each position, in rising order
  std::vector<std::size_t> entries_;                 // of the table that eliminates a position
  std::vector<std::uint8_t> code_;
  std::vector<Decision> decided_;
};

bool has_nan(const CompiledSpace::Data& data, std::size_t column) {
  return std::ranges::any_of(data.sums, [column](const SpaceTable& t) {
    const auto first = t.values.begin() + static_cast<std::ptrdiff_t>(column * t.entries);
    return std::any_of(first, first + static_cast<std::ptrdiff_t>(t.entries),
                       [](double value) { return std::isnan(value); });
  });
}

}  // namespace

Bounds CompiledSpace::bounds(Quantity quantity) const {
  const LinearQuantity linear = linear_quantity(*data_, quantity, "bounds");
  if (std::isnan(linear.scale * data_->base[linear.column]) || has_nan(*data_, linear.column)) {
    throw UnsupportedError(data_->name + ": bounds of " + std::string(to_string(quantity.metric)) +
                           " are not to be had, as the profile does not tell it");
  }
  Bounds bounds;
  std::tie(bounds.least, bounds.cheapest) = Elimination(*data_, linear.column, 1.0).run();
  std::tie(bounds.most, bounds.dearest) = Elimination(*data_, linear.column, -1.0).run();
  bounds.least *= linear.scale;
  bounds.most *= linear.scale;
  return bounds;
}

}  // namespace alphaflops
