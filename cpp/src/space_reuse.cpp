#include "space_reuse.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>

namespace alphaflops {
namespace {

constexpr int networks = 512;
constexpr double ridge = 1e-10;  // of a feature's mean square

/// A network as its price sees it.
struct Whole {
  PartTime sum;
  Footprint touched;
};

class Networks {
 public:
  Networks(const Parts& parts, const std::vector<PartTime>& times,
           const std::vector<Position>& positions)
      : parts_(parts), times_(times), positions_(positions) {
    for (const Priced& part : parts.priced) touched_.push_back(footprint_of(part.work));
    rank();
  }

  /// Networks from all cheapest choices over any to all dearest ones.
  std::vector<Whole> drawn() const {
    std::mt19937_64 random;
    std::vector<Whole> result;
    std::vector<std::size_t> code(positions_.size());
    for (int i = 0; i < networks; ++i) {
      const double tilt = 2.0 * i / (networks - 1) - 1.0;
      for (std::size_t p = 0; p < code.size(); ++p) {
        const double uniform = static_cast<double>(random() >> 11) * 0x1p-53;
        const std::size_t any = random() % positions_[p].choices.size();
        code[p] = uniform >= std::abs(tilt) ? any : tilt < 0.0 ? cheapest_[p] : dearest_[p];
      }
      result.push_back(network(code));
    }
    return result;
  }

 private:
  std::size_t choices(int position) const {
    return positions_[static_cast<std::size_t>(position)].choices.size();
  }

  /// Finds the choice of each position with which its parts take least time, and most, in the mean
  /// over choices elsewhere.
  void rank() {
    std::vector<std::vector<double>> mean_s;
    for (const Position& p : positions_) mean_s.emplace_back(p.choices.size(), 0.0);
    for (const Dependence& term : parts_.terms) {
      std::size_t stride = 1;
      for (const int p : term.positions) {
        const std::size_t n = choices(p);
        const double share = static_cast<double>(n) / static_cast<double>(term.values.size());
        for (std::size_t entry = 0; entry < term.values.size(); ++entry) {
          mean_s[static_cast<std::size_t>(p)][entry / stride % n] +=
              share * times_[static_cast<std::size_t>(term.values[entry])].time_s;
        }
        stride *= n;
      }
    }
    for (const std::vector<double>& each : mean_s) {
      const auto [least, most] = std::ranges::minmax_element(each);
      cheapest_.push_back(static_cast<std::size_t>(least - each.begin()));
      dearest_.push_back(static_cast<std::size_t>(most - each.begin()));
    }
  }

  Whole network(const std::vector<std::size_t>& code) const {
    Whole whole;
    for (const Dependence& term : parts_.terms) {
      std::size_t entry = 0, stride = 1;
      for (const int p : term.positions) {
        entry += stride * code[static_cast<std::size_t>(p)];
        stride *= choices(p);
      }
      const auto part = static_cast<std::size_t>(term.values[entry]);
      whole.sum.time_s += times_[part].time_s;
      whole.sum.gained_s += times_[part].gained_s;
      whole.touched.weights += touched_[part].weights;
      whole.touched.largest_launch =
          std::max(whole.touched.largest_launch, touched_[part].largest_launch);
    }
    return whole;
  }

  const Parts& parts_;
  const std::vector<PartTime>& times_;
  const std::vector<Position>& positions_;
  std::vector<Footprint> touched_;
  std::vector<std::size_t> cheapest_, dearest_;
};

using Three = std::array<double, 3>;

/// Solves a symmetric positive definite system.
Three solve(std::array<Three, 3> a, Three b) {
  for (std::size_t k = 0; k < 3; ++k) {
    for (std::size_t i = k + 1; i < 3; ++i) {
      const double share = a[i][k] / a[k][k];
      for (std::size_t j = k; j < 3; ++j) a[i][j] -= share * a[k][j];
      b[i] -= share * b[k];
    }
  }
  Three x{};
  for (std::size_t k = 3; k-- > 0;) {
    x[k] = b[k];
    for (std::size_t j = k + 1; j < 3; ++j) x[k] -= a[k][j] * x[j];
    x[k] /= a[k][k];
  }
  return x;
}

}  // namespace

ReuseSums reuse_sums(const WeightReuse& reuse, const Parts& parts,
                     const std::vector<PartTime>& times, const std::vector<Position>& positions,
                     double overhead_s, std::optional<double> reuse_bytes) {
  const std::vector<Whole> all = Networks(parts, times, positions).drawn();
  std::vector<double> gains;
  double gain = 0.0;
  for (const Whole& w : all) {
    const double distance = reuse_bytes.value_or(w.touched.weights + w.touched.largest_launch);
    gains.push_back(reuse.gain_at(distance, w.sum.time_s));
    gain += gains.back() / static_cast<double>(all.size());
  }
  // How far from one gain for all: features and what is left are shares of a network's time.
  std::vector<Three> features;
  std::vector<double> left;
  Three scale{};
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto [time_s, gained_s] = all[i].sum;
    const double exact_s = overhead_s + time_s - gains[i] * gained_s;
    if (!(exact_s > 0.0)) continue;  // it launches nothing
    features.push_back({1.0 / exact_s, time_s / exact_s, -gained_s / exact_s});
    left.push_back((gain - gains[i]) * gained_s / exact_s);
    for (std::size_t k = 0; k < 3; ++k) scale[k] += features.back()[k] * features.back()[k];
  }
  std::array<Three, 3> products{};
  Three right{};
  for (std::size_t k = 0; k < 3; ++k) {
    scale[k] = scale[k] > 0.0 ? 1.0 / std::sqrt(scale[k]) : 0.0;
    products[k][k] = ridge;
  }
  for (std::size_t i = 0; i < left.size(); ++i) {
    for (std::size_t k = 0; k < 3; ++k) {
      const double one = features[i][k] * scale[k];
      right[k] += one * left[i];
      for (std::size_t j = 0; j < 3; ++j) products[k][j] += one * features[i][j] * scale[j];
    }
  }
  const Three moved = solve(products, right);
  return {moved[0] * scale[0], 1.0 + moved[1] * scale[1], gain + moved[2] * scale[2]};
}

}  // namespace alphaflops
