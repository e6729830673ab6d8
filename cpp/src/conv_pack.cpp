// Weights in the order that kernels read them; conv_plan.hpp says which.
#include <algorithm>
#include <cstdint>

#include "alphaflops/bf16.hpp"
#include "conv_driver.hpp"

namespace alphaflops {

using std::int64_t;

template <class T>
void pack_blocks(const ConvPlan& plan, const T* weights, T* packed) {
  const int64_t taps = plan.taps();
  const int64_t lanes = plan.lanes;
  const int64_t per_word = plan.per_word;
  const int64_t depth = plan.algorithm == ConvAlgorithm::direct ? plan.depth : plan.group_words;
  for (int64_t group = 0; group < plan.shape.groups; ++group) {
    for (int64_t vector = 0; vector < plan.group_vectors; vector += plan.vectors) {
      const int64_t width = std::min(plan.vectors, plan.group_vectors - vector) * lanes;
      const int64_t channels = std::min(width, plan.group_out - vector * lanes);
      const T* block = weights + (group * plan.group_out + vector * lanes) * plan.group_in * taps;
      for (int64_t begin = 0; begin < plan.group_words; begin += depth) {
        const int64_t end = std::min(plan.group_words, begin + depth);
        for (int64_t tap = 0; tap < taps; ++tap) {
          for (int64_t word = begin; word < end; ++word) {
            std::fill_n(packed, width * per_word, T{});
            const int64_t last = std::min(plan.group_in, (word + 1) * per_word);
            for (int64_t lane = 0; lane < channels; ++lane) {
              for (int64_t c = word * per_word; c < last; ++c) {
                packed[lane * per_word + c - word * per_word] =
                    block[(lane * plan.group_in + c) * taps + tap];
              }
            }
            packed += width * per_word;
          }
        }
      }
    }
  }
}

template void pack_blocks(const ConvPlan&, const float*, float*);
template void pack_blocks(const ConvPlan&, const Bf16*, Bf16*);
template void pack_blocks(const ConvPlan&, const std::int8_t*, std::int8_t*);

void pack_depthwise(const ConvPlan& plan, const float* weights, float* packed) {
  const int64_t taps = plan.taps();
  const int64_t width = plan.group_vectors * plan.lanes;
  std::fill_n(packed, plan.packed_size, 0.0f);
  for (int64_t c = 0; c < plan.shape.c_in; ++c) {
    for (int64_t tap = 0; tap < taps; ++tap) packed[tap * width + c] = weights[c * taps + tap];
  }
}

void pack_grouped(const ConvPlan& plan, const float* weights, float* packed) {
  const int64_t taps = plan.taps();
  const int64_t size = plan.group_in;
  std::fill_n(packed, plan.packed_size, 0.0f);
  for (int64_t c = 0; c < plan.shape.c_out; ++c) {
    float* vector = packed + c / plan.lanes * taps * size * plan.lanes + c % plan.lanes;
    for (int64_t j = 0; j < size; ++j) {
      for (int64_t tap = 0; tap < taps; ++tap) {
        vector[(tap * size + j) * plan.lanes] = weights[(c * size + j) * taps + tap];
      }
    }
  }
}

}  // namespace alphaflops
