// Bytes that a network needs at once: its parameters, and the tensors that are alive together.
//
// Tensors live from the node that makes them to their last reader and, in training, to the backward
// step that reads them as PyTorch's autograd keeps them; docs/training.md lists what is kept.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "alphaflops/graph.hpp"
#include "alphaflops/training.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// Bytes at the moment when their sum is largest.
struct PeakMemory {
  std::int64_t parameters = 0;  // trainable and frozen, shared ones once
  std::int64_t constants = 0;   // other constants, and running statistics of batch norms
  std::int64_t gradients = 0;   // of parameters
  std::int64_t optimizer_state = 0;
  std::int64_t activations = 0;  // inputs, outputs, what is kept for later, gradients of tensors
  int node = -1;                 // at which it is
  Pass pass = Pass::forward;

  std::int64_t total() const;
};

/// Inputs and outputs belong to the caller and stay. Nothing is computed in place. Raises as
/// `lower`.
PeakMemory peak_memory(const Graph& graph, Mode mode,
                       const std::optional<Training>& training = std::nullopt);

/// Of a part of a network in inference: the inputs named in `ends` are what the part before made,
/// and go with their last reader here.
PeakMemory peak_memory_of_part(const Graph& graph, Mode mode, const std::vector<int>& ends);

}  // namespace alphaflops
