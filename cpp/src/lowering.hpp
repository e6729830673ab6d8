// The forward rows, for inference and for training.
#pragma once

#include "alphaflops/work.hpp"

namespace alphaflops {

/// In training a norm needs the statistics of its input and folds into nothing.
WorkTable forward_rows(const Graph& graph, Mode mode, bool norms_fold);

}  // namespace alphaflops
