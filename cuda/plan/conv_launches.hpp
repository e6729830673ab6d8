// Launches that every family of matrix products shares: what surrounds the product itself.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "conv_common.hpp"
#include "conv_map.hpp"
#include "launch.hpp"
#include "problem.hpp"

namespace alphaflops::cuda {

inline constexpr std::int64_t least_depth_tiles_a_split = 4;

struct ProductTile {
  int rows, columns, depth, threads;
};

/// Whether the caller's input and weights are read as they are, and an epilogue follows.
inline bool is_layer(const Problem& problem) {
  return problem.pass == Pass::forward || problem.transposed;
}
inline Buffer source_of(const Problem& problem) {
  return is_layer(problem) ? Buffer::input : Buffer::output_gradient;
}
inline Buffer weights_of(const Problem& problem) {
  return is_layer(problem) ? Buffer::weights : Buffer::workspace;
}

/// A plan and how long it may take, in no unit.
struct Guess {
  double cost = 0.0;
  Plan plan;
};

/// The plan of `kernel` (its symbol, header, block and shared memory) for all products, and one
/// with the depth split where the result has too few tiles to keep the device busy. `rate`:
/// products a unit of time, relative to other kernels of equal tiles.
void append_guesses(std::vector<Guess>& guesses, const Problem& problem, const Target& target,
                    const std::vector<ConvProduct>& products, const ProductTile& tile, double rate,
                    const Launch& kernel, const std::string& tile_name);

/// How long a product may take, in no unit: rounds of blocks, each as long as its part of the depth
/// (larger tiles reuse more of what they load), and the adding of parts.
double product_cost(const Target& target, const ProductTile& tile, std::int64_t tiles,
                    std::int64_t depth, std::int64_t splits, std::int64_t outputs);

/// Adds up the parts of a product, which start at `partials` bytes in the workspace.
Launch reduce_launch(const Problem& problem, const ConvMap& map, std::int64_t partials,
                     std::int64_t splits);

/// The cheapest first.
std::vector<Plan> in_order(std::vector<Guess> guesses, const std::string& algorithm);

}  // namespace alphaflops::cuda
