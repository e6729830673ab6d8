// What a launch costs: the equations of the cost model, one struct a form.
//
//     alpha           time = (t0^p + (c alpha(S) macs)^p)^(1/p)
//     traffic         time = (t0^p + (r bytes_read + w bytes_written)^p)^(1/p)
//     roofline-alpha  time = (t0^p + compute^p + moved^p)^(1/p)
//     tiled           time = soft minimum over candidate algorithms, each in tiles and waves
//
// docs/model.md has all of them with the meaning and unit of every parameter. alpha is from
// Asperti, Evangelista, Marzolla, "Dissecting FLOPs along input dimensions for GreenAI cost
// estimations", LOD 2021 (arXiv 2107.11949).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "alphaflops/work.hpp"

namespace alphaflops {

/// One row of a work table as the equations read it.
struct Launch {
  double batch, height, width;  // of the output
  double c_in, c_out;           // of one group
  double groups, kernel_volume, kernel_width, stride, macs;
  double bytes_read, weight_bytes, bytes_written;
  double padded_bytes;  // of a copy of the input that uneven padding makes necessary
  bool biased;

  double rows() const { return batch * height * width; }  // S
  double depth() const { return c_in * kernel_volume; }   // products a sum
};
Launch launch_of(const WorkTable& work, std::size_t row);

/// The paper's factor; S below one is taken as one.
double alpha(double s, double kernel_volume, double beta, double gamma);

struct AlphaCost {
  double seconds_per_mac = 0.0;  // c
  double beta = 0.0;             // residual slope per further element, 0 < beta < 1
  double gamma = 0.0;            // strength; 0 is plain MACs
  double floor_s = 0.0;          // t0, the cost of a launch
  double sharpness = 1.0;        // p of the p-norm that joins floor and work
};

struct TrafficCost {
  double seconds_per_byte_read = 0.0;
  double seconds_per_byte_written = 0.0;
  double floor_s = 0.0;
  double sharpness = 1.0;
};

///     compute = c alpha(S) macs (1 + half_rows / S) (1 + half_c_out / c_out) (1 + half_depth / K)
///     moved   = w weight_bytes + r bytes_read + o bytes_written
struct RooflineCost {
  double seconds_per_mac = 0.0, beta = 0.0, gamma = 0.0;
  double half_rows = 0.0, half_c_out = 0.0, half_depth = 0.0;  // extents that halve the rate
  double seconds_per_weight_byte = 0.0, seconds_per_byte_read = 0.0, seconds_per_byte_written = 0.0;
  double floor_s = 0.0, sharpness = 1.0;
};

/// Ways to lay a convolution out as products of matrices, rows x depth x columns.
enum class TileAlgorithm : std::uint8_t {
  implicit_gemm,    // batch h w  x  c_in k k  x  c_out, a product a group
  row_gemm,         // the same in tiles that end at the row: batch h products of w rows
  channelwise,      // all groups' channels side by side
  winograd4,        // F(4x4, 3x3) as 36 products, transformed in memory
  winograd2_fused,  // F(2x2, 3x3) in blocks of 8 x 16 pixels
  fft,              // tiles of 32 x 32 transformed in memory, 544 complex products
};
std::string_view to_string(TileAlgorithm algorithm);
/// Raises UnsupportedError listing the known names.
TileAlgorithm parse_tile_algorithm(std::string_view name);

///     u     = tiles / processors
///     waves = (1 - q) (u + u0) + q ceil(u)
///     time  = t0 + c tile_rows tile_columns waves (K + k0) + r read + o written + w weights
struct TileCandidate {
  TileAlgorithm algorithm = TileAlgorithm::implicit_gemm;
  double tile_rows = 1.0, tile_columns = 1.0;
  double seconds_per_mac = 0.0;  // c, on one processor
  double depth_overhead = 0.0;   // k0
  double start_waves = 0.0;      // u0
  double whole_waves = 0.0;      // q, from 0 to 1
  double floor_s = 0.0;          // t0
  double seconds_per_byte_read = 0.0, seconds_per_byte_written = 0.0, seconds_per_weight_byte = 0.0;
};

///     time = (sum of t^-m over candidates that apply)^(-1/m) + b written, if biased, + d padded
struct TiledCost {
  double processors = 1.0;
  double seconds_per_biased_byte = 0.0;   // b
  double seconds_per_padded_byte = 0.0;   // d
  int doublings = 4;                      // m = 2^doublings; a fit begins with fewer
  std::vector<TileCandidate> candidates;  // the first applies to everything
};

double seconds(const AlphaCost& cost, const Launch& launch);
double seconds(const TrafficCost& cost, const Launch& launch);
double seconds(const RooflineCost& cost, const Launch& launch);
double seconds(const TiledCost& cost, const Launch& launch);

using Cost = std::variant<AlphaCost, TrafficCost, RooflineCost, TiledCost>;
/// alpha, traffic, roofline-alpha or tiled.
std::string_view form_name(const Cost& cost);

/// What a residual and a domain see of a launch; sizes as log2.
inline constexpr int trait_count = 18;
using Traits = std::array<float, trait_count>;
extern const std::array<std::string_view, trait_count> trait_names;
/// How many of them, from the front, a domain bounds; the others are remainders of divisions.
inline constexpr int bounded_trait_count = 13;
Traits traits_of(const Launch& launch, double core_s);

/// The extent of what was measured.
struct Domain {
  std::array<float, bounded_trait_count> low{}, high{};
  bool known = false;

  /// How far outside, in octaves, summed in squares; 0 inside or where not known.
  double squared_distance(const Traits& traits) const;
};

/// Regression trees on traits; their sum is added to the logarithm of a time. Nodes of a tree stand
/// in preorder: the left child of node i is i + 1.
struct Forest {
  struct Node {
    std::int16_t trait;  // -1 for a leaf
    std::int32_t right;
    float value;  // threshold (left where trait <= value) or leaf
  };
  std::vector<Node> nodes;
  std::vector<std::int32_t> roots;

  double sum(const Traits& traits) const;
};

}  // namespace alphaflops
