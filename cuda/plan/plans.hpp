// Every way to run a problem on a target, best guess first; timing decides between them.
#pragma once

#include <vector>

#include "launch.hpp"
#include "problem.hpp"

namespace alphaflops::cuda {

/// Empty where no family does the problem. Raises ShapeError or OverflowError for a shape that no
/// convolution has, UnsupportedError for an epilogue other than none, relu and relu6.
std::vector<Plan> plans(const Problem& problem, const Target& target);
std::vector<Plan> plans(const StreamProblem& problem, const Target& target);
std::vector<Plan> plans(const MatmulProblem& problem, const Target& target);
std::vector<Plan> plans(const AttentionProblem& problem, const Target& target);
std::vector<Plan> plans(const RecurrentProblem& problem, const Target& target);
std::vector<Plan> plans(const ProbeProblem& problem, const Target& target);

}  // namespace alphaflops::cuda
