// Parts of counting that gradients and memory share.
#pragma once

#include <cstdint>

#include "alphaflops/graph.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// The work of a node whose parameters are its own and whose operands are all activations.
Work own_work(const Graph& graph, int node);

/// The tensor that views and parts stand for.
int root_of(const Graph& graph, int tensor);

}  // namespace alphaflops
