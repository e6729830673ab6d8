// What a launch costs: the equations of the cost model, one struct a form.
//
//     alpha           time = (t0^p + (c alpha(S) macs)^p)^(1/p)
//     traffic         time = (t0^p + (f moved)^p)^(1/p)
//     roofline-alpha  time = (t0^p + compute^p + moved^p)^(1/p) + d padded
//     tiled           time = soft minimum over candidate algorithms, each in tiles and waves
//
// and to each may be added b max(0, bytes - cache), and prices of bytes in fresh memory.
//
// docs/model.md has all of them with the meaning and unit of every parameter. alpha is from
// Asperti, Evangelista, Marzolla, "Dissecting FLOPs along input dimensions for GreenAI cost
// estimations", LOD 2021 (arXiv 2107.11949).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "alphaflops/cost_terms.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// The paper's factor; S below one is taken as one.
double alpha(double s, double kernel_volume, double beta, double gamma);

std::string_view to_string(TileAlgorithm algorithm);
/// Raises UnsupportedError listing the known names.
TileAlgorithm parse_tile_algorithm(std::string_view name);

struct TrafficCost : TrafficTerms {
  std::vector<double> op_factors;  // by OpCode; none: all are 1
};

struct TiledCost : TiledTerms {
  std::vector<TileCandidate> candidates;  // at most `most_candidates`; one applies to everything
};

struct FreshMemory : FreshTerms {
  std::vector<std::uint8_t> in_place;  // 0 or 1 by OpCode: 1 takes no memory of its own
};

using Cost = std::variant<AlphaCost, TrafficCost, RooflineCost, TiledCost>;
/// alpha, traffic, roofline-alpha or tiled.
std::string_view form_name(const Cost& cost);

/// Rows of a work table from `first` on; they must be of one dtype.
LaunchColumns columns_of(const WorkTable& work, std::size_t first = 0);
struct NamedColumn {
  std::string_view name;
  const std::int64_t* LaunchColumns::* column;
  std::int64_t Work::* member;
};
/// Columns of integers by name; alpha by itself reads the first `alpha_columns`, and the last, of
/// which taps are made, is read by what has a price for them.
inline constexpr std::array<NamedColumn, 15> launch_columns{{
    {"batch", &LaunchColumns::batch, &Work::batch},
    {"spatial", &LaunchColumns::spatial, &Work::spatial},
    {"kernel_volume", &LaunchColumns::kernel_volume, &Work::kernel_volume},
    {"macs", &LaunchColumns::macs, &Work::macs},
    {"width", &LaunchColumns::width, &Work::width},
    {"activations_read", &LaunchColumns::activations_read, &Work::activations_read},
    {"weights_read", &LaunchColumns::weights_read, &Work::weights_read},
    {"elements_written", &LaunchColumns::elements_written, &Work::elements_written},
    {"c_in", &LaunchColumns::c_in, &Work::c_in},
    {"c_out", &LaunchColumns::c_out, &Work::c_out},
    {"groups", &LaunchColumns::groups, &Work::groups},
    {"kernel_width", &LaunchColumns::kernel_width, &Work::kernel_width},
    {"stride", &LaunchColumns::stride, &Work::stride},
    {"padded_elements", &LaunchColumns::padded_elements, &Work::padded_elements},
    {"flops", &LaunchColumns::flops, &Work::flops},
}};
inline constexpr std::size_t alpha_columns = 4;

/// The same columns from a later row on; null ones stay null.
LaunchColumns rows_from(LaunchColumns columns, std::size_t first);

/// The most rows that one of the functions below takes.
inline constexpr int launch_block = 64;

/// Seconds and alpha (NaN where the form has none) of n launches.
void seconds(const Cost& cost, const LaunchColumns& launches, int n, double* time_s, double* alpha);
/// Adds to the seconds of n launches what they move beyond a cache.
void add_beyond(const CacheTerms& cache, const LaunchColumns& launches, int n, double* time_s);
/// Adds to the seconds of n launches what fresh memory costs.
void add_fresh(const FreshMemory& fresh, const LaunchColumns& launches, int n, double* time_s);

extern const std::array<std::string_view, trait_count> trait_names;
/// Of up to `launch_block` launches, trait by trait.
using Traits = std::array<std::array<float, launch_block>, trait_count>;
void traits_of(const LaunchColumns& launches, const double* core_s, int n, Traits& traits);

/// The extent of what was measured.
class Domain {
 public:
  using Bounds = std::array<float, bounded_trait_count>;
  Domain() = default;
  Domain(const Bounds& low, const Bounds& high);

  bool known() const { return known_; }
  /// Whether it can be told without logarithms that all of n launches lie inside.
  bool surely_holds(const LaunchColumns& launches, const double* core_s, int n) const;
  /// How far outside, in octaves, summed in squares; 0 inside.
  void squared_distances(const Traits& traits, int n, double* squared) const;

 private:
  Bounds low_{}, high_{};
  std::array<double, bounded_trait_count> least_{}, most_{};  // a little less than 2^low to 2^high
  bool known_ = false;
};

/// Regression trees on traits; their sum is added to the logarithm of a time.
class Forest {
 public:
  struct Node {
    std::int16_t trait;  // -1 for a leaf
    std::int32_t right;  // index of the right child; the left child of node i is i + 1
    float value;         // threshold (left where trait <= value) or leaf
  };
  Forest() = default;
  /// Raises ProfileError, beginning with `place`, for nodes that are no trees in preorder or a tree
  /// of more than `most_leaves` leaves.
  Forest(const std::vector<Node>& nodes, const std::vector<std::int32_t>& roots,
         const std::string& place);

  bool empty() const { return leaves_.empty(); }
  void sums(const Traits& traits, int n, double* sums) const;

 private:
  std::vector<ForestSplit> splits_;
  std::vector<std::int32_t> ends_;  // of each tree's splits
  std::vector<float> leaves_;       // most_leaves a tree
};

}  // namespace alphaflops
