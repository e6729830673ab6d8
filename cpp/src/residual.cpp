// The domain that was measured, and the trees that correct a time inside it.
#include <algorithm>
#include <cmath>

#include "alphaflops/cost.hpp"
#include "alphaflops/error.hpp"

namespace alphaflops {

const std::array<std::string_view, trait_count> trait_names{
    "batch",           "height", "width",  "c_in",           "c_out",           "groups",
    "kernel",          "stride", "macs",   "bytes_read",     "weight_bytes",    "bytes_written",
    "core_s",          "padded", "biased", "c_in_alignment", "c_out_alignment", "width_mod_4",
    "groups_alignment"};

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

namespace {

/// Reads one tree, node by node, left branches first.
struct TreeReader {
  const std::vector<Forest::Node>& nodes;
  const std::string& place;
  std::vector<ForestSplit>& splits;
  std::vector<float>& leaves;
  int found = 0;  // leaves

  /// Returns where the node after the branch stands.
  std::int32_t read(std::int32_t at, int depth) {
    if (depth > most_leaves || found >= most_leaves) {
      throw ProfileError(place + ": a tree has more than " + std::to_string(most_leaves) +
                         " leaves or levels");
    }
    if (static_cast<std::size_t>(at) >= nodes.size()) {
      throw ProfileError(place + ": the last tree is not complete");
    }
    const Forest::Node& node = nodes[static_cast<std::size_t>(at)];
    if (node.trait < 0) {
      leaves.push_back(node.value);
      ++found;
      return at + 1;
    }
    const std::size_t split = splits.size();
    splits.push_back({.threshold = node.value, .trait = node.trait, .remaining = 0});
    const std::uint32_t before = first_bits(found);
    const std::int32_t right = read(at + 1, depth + 1);
    splits[split].remaining = ~(first_bits(found) & ~before);
    if (right != node.right) {
      throw ProfileError(place + ": node " + std::to_string(at) + " has its right child at " +
                         std::to_string(node.right) +
                         "; nodes of a tree stand in preorder, which "
                         "puts it at " +
                         std::to_string(right));
    }
    return read(right, depth + 1);
  }

  static std::uint32_t first_bits(int n) {
    return static_cast<std::uint32_t>((std::uint64_t{1} << n) - 1);
  }
};

}  // namespace

Forest::Forest(const std::vector<Node>& nodes, const std::vector<std::int32_t>& roots,
               const std::string& place) {
  for (const std::int32_t root : roots) {
    TreeReader{nodes, place, splits_, leaves_}.read(root, 0);
    ends_.push_back(static_cast<std::int32_t>(splits_.size()));
    leaves_.resize(ends_.size() * most_leaves);
  }
}

}  // namespace alphaflops
