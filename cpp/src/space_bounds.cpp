// The cheapest and the dearest network of a space, by eliminating one position after another.
//
// All tables that a position has a say in become one table over the other positions, whose entries
// are the best that this position can do there. Exact, and quick where few positions depend on each
// other (Bertele and Brioschi, "Nonserial Dynamic Programming", 1972).
#include <algorithm>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"
#include "space_data.hpp"

namespace alphaflops {
namespace {

class Elimination {
 public:
  Elimination(const CompiledSpace::Data& data, std::size_t column, double sign)
      : data_(data), sign_(sign), value_(sign * data.base[column]) {
    for (const SpaceTable& t : data.sums) {
      SpaceTable one{t.positions, t.entries, {}};
      for (std::size_t i = 0; i < t.entries; ++i) {
        one.values.push_back(sign * t.values[column * t.entries + i]);
      }
      tables_.push_back(std::move(one));
    }
  }

  /// The least of sign * cost, and its code.
  std::pair<double, std::vector<std::uint8_t>> run() {
    std::vector<int> left(data_.positions.size());
    for (std::size_t i = 0; i < left.size(); ++i) left[i] = static_cast<int>(i);
    while (!left.empty()) {
      const auto next = std::ranges::min_element(
          left, {}, [this](int position) { return entries(neighbours(position)); });
      eliminate(*next);
      left.erase(next);
    }
    std::vector<std::uint8_t> code(data_.positions.size(), 0);
    for (auto it = decided_.rbegin(); it != decided_.rend(); ++it) {
      const SpaceTable shape{it->positions, it->best.size(), {}};
      code[static_cast<std::size_t>(it->position)] = it->best[entry_of(shape, data_, code.data())];
    }
    return {sign_ * value_, std::move(code)};
  }

 private:
  struct Decision {
    int position;
    std::vector<int> positions;  // that it depends on
    std::vector<std::uint8_t> best;
  };

  std::vector<int> neighbours(int position) const {
    std::vector<int> all;
    for (const SpaceTable& t : tables_) {
      if (std::ranges::find(t.positions, position) == t.positions.end()) continue;
      std::vector<int> both;
      std::ranges::set_union(all, t.positions, std::back_inserter(both));
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
    const auto mine = std::ranges::stable_partition(tables_, [&](const SpaceTable& t) {
      return std::ranges::find(t.positions, position) == t.positions.end();
    });
    SpaceTable result{decision.positions, count, {}};
    std::vector<std::uint8_t> code(data_.positions.size(), 0);
    for (std::size_t i = 0; i < count; ++i) {
      std::size_t rest = i;
      for (const int p : decision.positions) {
        code[static_cast<std::size_t>(p)] = static_cast<std::uint8_t>(rest % data_.choices(p));
        rest /= data_.choices(p);
      }
      double best = 0.0;
      std::uint8_t best_choice = 0;
      for (std::size_t c = 0; c < data_.choices(position); ++c) {
        code[static_cast<std::size_t>(position)] = static_cast<std::uint8_t>(c);
        double sum = 0.0;
        for (const SpaceTable& t : mine) sum += t.values[entry_of(t, data_, code.data())];
        if (c > 0 && sum >= best) continue;
        best = sum;
        best_choice = static_cast<std::uint8_t>(c);
      }
      result.values.push_back(best);
      decision.best.push_back(best_choice);
    }
    tables_.erase(mine.begin(), mine.end());
    if (result.positions.empty()) {
      value_ += result.values[0];
    } else {
      tables_.push_back(std::move(result));
    }
    decided_.push_back(std::move(decision));
  }

  const CompiledSpace::Data& data_;
  double sign_;
  double value_;
  std::vector<SpaceTable> tables_;
  std::vector<Decision> decided_;
};

}  // namespace

Bounds CompiledSpace::bounds(Quantity quantity) const {
  const LinearQuantity linear = linear_quantity(*data_, quantity, "bounds");
  Bounds bounds;
  std::tie(bounds.least, bounds.cheapest) = Elimination(*data_, linear.column, 1.0).run();
  std::tie(bounds.most, bounds.dearest) = Elimination(*data_, linear.column, -1.0).run();
  bounds.least *= linear.scale;
  bounds.most *= linear.scale;
  return bounds;
}

}  // namespace alphaflops
