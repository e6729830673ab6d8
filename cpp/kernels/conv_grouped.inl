// Convolution of narrow groups, k_w 3, on NHWC: as many input as output channels a group, fewer
// than a vector holds.
//
// Channels lie along the vector, as in a depthwise convolution. Input channel j of every group is
// spread over the group's lanes by a permutation, once for all the outputs of the tile that the
// pixel reaches, so that no lane of a multiply-add is idle. Weights are
// [vector of channels][k_h][3][input channel of the group][lane].
#pragma once

#include "hide.inl"

namespace alphaflops::kernels {
namespace {

// Lane l takes element j of its own group: [Group][j][l].
struct Spread {
  std::int32_t lane[16];
};
template <int Group>
AF_INLINE constexpr Spread spread_of(int j) {
  Spread s{};
  for (int l = 0; l < 16; ++l) s.lane[l] = l / Group * Group + j;
  return s;
}

template <int Group, int Stride, int Pixels, bool Part>
AF_INLINE void grouped_channels(const DepthwiseArgs& a, const Index (&spread)[Group],
                                const float* weights, std::int64_t c, std::int64_t lanes) {
  constexpr int kWidth = 3;
  constexpr int kColumns = (Pixels - 1) * Stride + kWidth;
  Vec start = splat(0.0f);
  if (a.bias != nullptr) start = Part ? load_part(a.bias + c, lanes) : load(a.bias + c);
  Vec acc[Pixels];
#pragma GCC unroll 8
  for (int p = 0; p < Pixels; ++p) acc[p] = start;
  const float* const* columns = a.columns;
  for (std::int64_t row = 0; row < a.rows; ++row) {
#pragma GCC unroll 16
    for (int i = 0; i < kColumns; ++i) {
      const float* x = columns[i] + c;
      const Vec value = Part ? load_part(x, lanes) : load(x);
#pragma GCC unroll 8
      for (int j = 0; j < Group; ++j) {
        const Vec spread_value = permute(value, spread[j]);
#pragma GCC unroll 8
        for (int p = 0; p < Pixels; ++p) {
          const int t = i - p * Stride;
          if (t >= 0 && t < kWidth) {
            acc[p] = fma(spread_value, load(weights + (t * Group + j) * kLanes), acc[p]);
          }
        }
      }
      hide(weights);  // or GCC loads all of them ahead, and spills
    }
    weights += kWidth * Group * kLanes;
    columns += kColumns;
  }
  const Vec low = splat(a.low);
  const Vec high = splat(a.high);
  float* out = a.output + c;
#pragma GCC unroll 8
  for (int p = 0; p < Pixels; ++p) {
    const Vec y = min(high, max(low, acc[p]));
    if (Part) {
      store_part(out, lanes, y);
    } else {
      store(out, y);
    }
    out += a.channels;
    hide(out);
  }
}

template <int Group, int Stride, int Pixels>
void grouped(const DepthwiseArgs* a) {
  Index spread[Group];
#pragma GCC unroll 8
  for (int j = 0; j < Group; ++j) {
    const Spread s = spread_of<Group>(j);
    spread[j] = load_index(s.lane);
  }
  const float* weights = a->weights;
  std::int64_t c = 0;
  for (; c + kLanes <= a->channels; c += kLanes) {
    hide(a);
    grouped_channels<Group, Stride, Pixels, false>(*a, spread, weights, c, kLanes);
    weights += a->weight_column;
  }
  if (c < a->channels) {
    grouped_channels<Group, Stride, Pixels, true>(*a, spread, weights, c, a->channels - c);
  }
}

template <int Group, int Stride, int Pixels>
constexpr Depthwise grouped_or_null() {
  if constexpr (Group < kLanes) {
    return grouped<Group, Stride, Pixels>;
  } else {
    return nullptr;
  }
}

#define AF_GROUPED_ROW(G, S)   \
  {nullptr,                    \
   grouped_or_null<G, S, 1>(), \
   grouped_or_null<G, S, 2>(), \
   grouped_or_null<G, S, 3>(), \
   grouped_or_null<G, S, 4>(), \
   grouped_or_null<G, S, 5>(), \
   grouped_or_null<G, S, 6>(), \
   grouped_or_null<G, S, 7>()}
#define AF_GROUPED_TABLE                                                                          \
  {                                                                                               \
    kLanes, {                                                                                     \
      {AF_GROUPED_ROW(2, 1), AF_GROUPED_ROW(2, 2)}, {AF_GROUPED_ROW(4, 1), AF_GROUPED_ROW(4, 2)}, \
      {                                                                                           \
        AF_GROUPED_ROW(8, 1), AF_GROUPED_ROW(8, 2)                                                \
      }                                                                                           \
    }                                                                                             \
  }

}  // namespace
}  // namespace alphaflops::kernels
