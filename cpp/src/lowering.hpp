// What a table of inference and one of training have in common.
#pragma once

#include "alphaflops/work.hpp"

namespace alphaflops {

/// In training a norm needs the statistics of its input and folds into nothing.
WorkTable forward_rows(const Graph& graph, Mode mode, bool norms_fold);

/// A row of the graph's calls, so many times, where a host makes them.
void append_calls(WorkTable& table, const Graph& graph, Mode mode, std::int64_t times);

}  // namespace alphaflops
