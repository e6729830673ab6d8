// The domain that was measured, and the trees that correct a time inside it.
#include <algorithm>
#include <cmath>
#include <limits>

#include "alphaflops/cost.hpp"

namespace alphaflops {

const std::array<std::string_view, trait_count> trait_names{
    "batch",  "height", "width",  "c_in",       "c_out",        "groups",
    "kernel", "stride", "macs",   "bytes_read", "weight_bytes", "bytes_written",
    "core_s", "padded", "biased", "c_in_mod_8", "c_out_mod_8",  "width_mod_4"};

Domain::Domain(const Bounds& low, const Bounds& high) : low_(low), high_(high), known_(true) {
  constexpr double margin = 1e-5;  // octaves, more than a trait is rounded by
  for (std::size_t k = 0; k < low.size(); ++k) {
    least_[k] = std::exp2(double{low[k]} + margin);
    most_[k] = std::exp2(double{high[k]} - margin);
  }
}

void Domain::squared_distances(const Traits& traits, int n, double* squared) const {
  std::fill_n(squared, n, 0.0);
  for (std::size_t k = 0; k < low_.size(); ++k) {
    for (int i = 0; i < n; ++i) {
      const double trait = traits[k][static_cast<std::size_t>(i)];
      const double outside = std::max({0.0, double{low_[k]} - trait, trait - double{high_[k]}});
      squared[i] += outside * outside;
    }
  }
}

Forest::Forest(const std::vector<Node>& nodes, std::vector<std::int32_t> roots)
    : roots_(std::move(roots)) {
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const Node& node = nodes[i];
    const bool leaf = node.trait < 0;
    steps_.push_back({.threshold = leaf ? std::numeric_limits<float>::quiet_NaN() : node.value,
                      .trait = leaf ? 0u : static_cast<std::uint32_t>(node.trait * launch_block),
                      .right = leaf ? 0 : node.right - static_cast<std::int32_t>(i)});
    leaves_.push_back(leaf ? node.value : 0.0f);
  }
}

void Forest::sums(const Traits& traits, int n, double* sums) const {
  constexpr int side_by_side = 8;
  std::fill_n(sums, n, 0.0);
  for (const std::int32_t root : roots_) {
    for (int first = 0; first < n; first += side_by_side) {
      // Rows past the end are walked too: their traits are of no meaning, but there.
      const float* row = traits[0].data() + first;
      std::array<std::int32_t, side_by_side> at;
      at.fill(root);
      bool moved = true;
      while (moved) {
        std::int32_t steps = 0;
        for (std::size_t r = 0; r < at.size(); ++r) {
          const Step& step = steps_[static_cast<std::size_t>(at[r])];
          const std::int32_t by = row[step.trait + r] <= step.threshold ? 1 : step.right;
          at[r] += by;
          steps |= by;
        }
        moved = steps != 0;
      }
      for (int r = 0; r < std::min(side_by_side, n - first); ++r) {
        const auto leaf = static_cast<std::size_t>(at[static_cast<std::size_t>(r)]);
        sums[first + r] += double{leaves_[leaf]};
      }
    }
  }
}

}  // namespace alphaflops
