// The parameters of every form, and launches as the equations read them. Built-in types only, so
// that code compiled for one instruction set may include it.
#pragma once

#include <cstdint>

namespace alphaflops {

struct AlphaCost {
  double seconds_per_mac = 0.0;  // c
  double beta = 0.0;             // residual slope per further element, 0 < beta < 1
  double gamma = 0.0;            // strength; 0 is plain MACs
  double floor_s = 0.0;          // t0, the cost of a launch
  double sharpness = 1.0;        // p of the p-norm that joins floor and work
};

///     moved = f (r bytes_read + w bytes_written + v taps)
///     time  = (t0^p + moved^p)^(1/p)
/// f is the operator's factor. Taps are what a pool counts as operations: an element of a window
/// each.
struct TrafficTerms {
  double seconds_per_byte_read = 0.0;
  double seconds_per_byte_written = 0.0;
  double floor_s = 0.0;
  double sharpness = 1.0;
  double seconds_per_tap = 0.0;  // v
};

///     compute = c macs (alpha(S) + half_rows / S) (1 + half_c_out / c_out) (1 + half_depth / K)
///     moved   = w weight_bytes + r bytes_read + o bytes_written
///     time    = (t0^p + compute^p + moved^p)^(1/p) + d padded_bytes
/// With gamma <= 1 it never falls as a size grows: alpha(S) S does not, and half_rows is beside it.
struct RooflineCost {
  double seconds_per_mac = 0.0, beta = 0.0, gamma = 0.0;
  double half_rows = 0.0, half_c_out = 0.0, half_depth = 0.0;  // extents that halve the rate
  double seconds_per_weight_byte = 0.0, seconds_per_byte_read = 0.0, seconds_per_byte_written = 0.0;
  double floor_s = 0.0, sharpness = 1.0;
  double seconds_per_padded_byte = 0.0;  // d, of a copy before the launch
};

/// Ways to lay a convolution out as products of matrices, rows x depth x columns.
enum class TileAlgorithm : std::uint8_t {
  implicit_gemm,  // batch h w  x  c_in k k  x  c_out, a product a group
  row_gemm,       // the same in tiles that end at the row: batch h products of w rows
  channelwise,    // all groups' channels side by side
  group_gemm,     // a product a group, one after the other, each with a start of its own
  // Not for every convolution.
  depthwise,  // channelwise, of groups of one input and one output, and kernels of several elements
  winograd4,  // F(4x4, 3x3) as 36 products, transformed in memory
  winograd2_fused,  // F(2x2, 3x3) in blocks of 8 x 16 pixels
  fft,              // tiles of 32 x 32 transformed in memory, 544 complex products
};

///     u     = tiles / processors
///     waves = (1 - q) (u + u0 starts) + q ceil(u)
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
struct TiledTerms {
  double processors = 1.0;
  double seconds_per_biased_byte = 0.0;  // b
  double seconds_per_padded_byte = 0.0;  // d
  int doublings = 4;                     // m = 2^doublings; a fit begins with fewer
};
inline constexpr int most_candidates = 16;

/// What every form may have beside it: bytes read and written beyond a cache are from slower
/// memory.
///     time += b max(0, bytes - cache_bytes)
struct CacheTerms {
  double seconds_per_byte_beyond = 0.0;  // b
  double cache_bytes = 0.0;
};

/// What memory costs that a system hands out page by page, and takes back once a tensor is let go:
/// of tensors from some size on.
///     time += r read, if that is as large, + w written, + v weights, likewise
struct FreshTerms {
  double from_bytes = 0.0;  // 0: no memory is fresh
  double seconds_per_byte_read = 0.0, seconds_per_byte_written = 0.0, seconds_per_weight_byte = 0.0;
};

/// What a residual and a domain see of a launch; sizes as log2.
inline constexpr int trait_count = 19;
/// How many of them, from the front, a domain bounds; the others are shares and remainders.
inline constexpr int bounded_trait_count = 13;

/// A node of a regression tree, and the leaves that remain where its trait is above the threshold:
/// all but those of its left branch, a bit a leaf from left to right. Of the leaves that remain
/// after all nodes, the leftmost is the one that a walk down the tree ends in. Lucchese et al.,
/// "QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees",
/// SIGIR 2015.
struct ForestSplit {
  float threshold;
  std::int32_t trait;
  std::uint32_t remaining;
};
inline constexpr int most_leaves = 32;

/// Rows of a work table, all of one dtype; a column each, as in WorkTable.
struct LaunchColumns {
  const std::int64_t *batch, *spatial, *kernel_volume, *macs;
  const std::int64_t *activations_read, *weights_read, *elements_written;
  const std::int64_t *c_in, *c_out, *groups, *width, *kernel_width, *stride, *padded_elements;
  const std::uint8_t* biased;
  double element_bytes;
  const std::int64_t* flops;
  const std::uint8_t* op;  // null: a typical operator of the kind
};

}  // namespace alphaflops
