// Launches of products of pairs of matrices, for the plans that have more than these.
#pragma once

#include <vector>

#include "problem.hpp"

namespace alphaflops::cuda {

/// One for each tile that does the problem, the best guess first. Raises UnsupportedError where no
/// side of a matrix lies as kernels read it.
std::vector<Launch> matmul_launches(const MatmulProblem& problem, const Target& target);

}  // namespace alphaflops::cuda
