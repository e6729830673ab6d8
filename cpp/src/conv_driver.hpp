// What drives the kernels over a planned convolution, or over one part of it.
#pragma once

#include <cstdint>
#include <limits>

#include "conv_plan.hpp"

namespace alphaflops {

// The share of one thread: blocks of output channels, counted through all groups, and units, which
// are output rows (direct, depthwise, grouped), output pixels (gemm) or tiles (winograd), counted
// through the batch.
struct ConvPart {
  std::int64_t block_first, block_last;
  std::int64_t unit_first, unit_last;
};

/// Part `part` of `parts`, which are disjoint and together the whole; some may be empty.
ConvPart part_of(const ConvPlan& plan, int part, int parts);

/// Raises ShapeError unless 0 <= part < parts.
void check_part(int part, int parts);

/// Words from one thread's workspace to the next one's; no two threads write the same cache line.
constexpr std::int64_t thread_stride(const ConvPlan& plan) {
  constexpr std::int64_t kLine = 16;
  return plan.workspace_size == 0 ? 0 : ceil_div(plan.workspace_size, kLine) * kLine + kLine;
}

template <class Acc>
struct Clamp {
  Acc low, high;

  static constexpr Clamp none() {
    using Limits = std::numeric_limits<Acc>;
    if constexpr (Limits::has_infinity) {
      return {-Limits::infinity(), Limits::infinity()};
    } else {
      return {Limits::min(), Limits::max()};
    }
  }
};

template <class Word, class Acc>
struct ConvCall {
  const Word* input;  // pixels plan.input_words apart
  const Word* packed;
  const Acc* bias;
  Acc* output;
  Word* workspace;
  Clamp<Acc> clamp;
};

// Defined for float and for the words of narrow types.
template <class Word, class Acc>
void run_direct(const ConvPlan& plan, const kernels::ConvDirectTable<Word, Acc>& table,
                const ConvCall<Word, Acc>& call, const ConvPart& part);
template <class Word, class Acc>
void run_gemm(const ConvPlan& plan, const kernels::GemmTable<Word, Acc>& table,
              const ConvCall<Word, Acc>& call, const ConvPart& part);

void run_depthwise(const ConvPlan& plan, const kernels::DepthwiseTable& table,
                   const ConvCall<float, float>& call, const ConvPart& part);

void run_grouped(const ConvPlan& plan, const kernels::GroupedTable& table,
                 const ConvCall<float, float>& call, const ConvPart& part);
void run_winograd(const ConvPlan& plan, const kernels::WinogradTable& transforms,
                  const kernels::GemmTable<float, float>& gemm, const ConvCall<float, float>& call,
                  const ConvPart& part);

/// Rearranges weights [c_out][c_in / groups][k_h][k_w] for run_direct and run_gemm.
template <class T>
void pack_blocks(const ConvPlan& plan, const T* weights, T* packed);
void pack_depthwise(const ConvPlan& plan, const float* weights, float* packed);
void pack_grouped(const ConvPlan& plan, const float* weights, float* packed);
/// G g G^T of every filter, [block][position][c_in][lane].
void pack_winograd(const ConvPlan& plan, const float* weights, float* packed);

}  // namespace alphaflops
