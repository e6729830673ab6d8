// Random parameters of a network, the same for the same seed, and what folding makes of them.
#pragma once

#include <cstdint>
#include <vector>

#include "alphaflops/graph.hpp"

namespace alphaflops {

/// Weights of a convolution [c_out][c_in / groups][k_h][k_w] or a linear layer [out][in], uniform
/// with He's variance 2 / fan_in, so that activations neither fade into denormal numbers, which
/// processors are slow at, nor overflow; the scale of a norm [channels], near 1; empty for any
/// other node.
std::vector<float> node_weights(const Graph& graph, int node, std::uint64_t seed);

/// Bias of a convolution or linear layer, shift of a norm; empty where the node has none.
std::vector<float> node_shift(const Graph& graph, int node, std::uint64_t seed);

struct RowParameters {
  std::vector<float> weights;  // as node_weights
  std::vector<float> shift;    // empty for none
};

/// The parameters of `lead` with the norms among `folded` multiplied in. Columns of a linear layer
/// are reordered from [channel][pixel] to [pixel][channel] where its input is a flattened NHWC
/// image of `pixels` pixels.
RowParameters row_parameters(const Graph& graph, int lead, const std::vector<int>& folded,
                             std::int64_t pixels, std::uint64_t seed);

/// For each tensor, the pixels of the image it was flattened from, where it still has that image's
/// order in memory (pixel by pixel, not channel by channel); 1 otherwise. Raises UnsupportedError
/// naming a layer or a view whose result would depend on that order.
std::vector<std::int64_t> flattened_pixels(const Graph& graph);

}  // namespace alphaflops
