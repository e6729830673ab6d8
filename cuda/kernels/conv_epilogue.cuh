// From sums to the output: bias, activation, conversion, stores of whole rows.
#pragma once

#include "accumulate.cuh"
#include "conv_igemm_params.cuh"

namespace alphaflops::cuda {

// A thread's run of `width` channels, the same in every row that it stores.
template <class Stored, int width>
struct Epilogue {
  using A = Arithmetic<Stored>;
  using Sum = typename A::Sum;
  using Output = typename A::Output;
  Sum bias[width];
  int column, columns_left, group, split, phase;

  AF_DEVICE void start(const ConvIgemmParams& p, int column_, int group_, int split_, int phase_) {
    column = column_;
    group = group_;
    split = split_;
    phase = phase_;
    columns_left = p.map.columns - column;
    AF_UNROLL
    for (int i = 0; i < width; ++i) bias[i] = 0;
    if (p.bias != nullptr && p.is_partial == 0) {
      const auto* from = static_cast<const Sum*>(p.bias) + group * p.map.columns + column;
      AF_UNROLL
      for (int i = 0; i < width; ++i) {
        if (i < columns_left) bias[i] = from[i];
      }
    }
  }

  AF_DEVICE void store_row(const ConvIgemmParams& p, int row, const Sum (&sums)[width]) const {
    if (row >= p.map.rows || columns_left <= 0) return;
    const int channel = group * p.map.result_group + column;
    if (p.is_partial != 0) {
      auto* to = static_cast<Sum*>(p.output) + split * p.partial_stride +
                 (static_cast<long long>(phase) * p.map.rows + row) * p.map.result_pitch + channel;
      AF_UNROLL
      for (int i = 0; i < width; i += 4) {
        if (p.stores_vectors != 0) {
          store<Sum, 4>(to + i, {sums[i], sums[i + 1], sums[i + 2], sums[i + 3]});
        } else {
          AF_UNROLL
          for (int e = i; e < i + 4; ++e) {
            if (e < columns_left) to[e] = sums[e];
          }
        }
      }
      return;
    }
    const long long at = result_offset(p.map, p.map.phases[phase], row);
    if (at < 0) return;
    Pack<Output, width> pack;
    AF_UNROLL
    for (int i = 0; i < width; ++i) {
      pack.element[i] = A::narrow(activate(sums[i] + bias[i], p.activation));
    }
    Output* to = static_cast<Output*>(p.output) + at + channel;
    if (p.stores_vectors != 0) {
      store<Output, width>(to, pack);
    } else {
      AF_UNROLL
      for (int i = 0; i < width; ++i) {
        if (i < columns_left) to[i] = pack.element[i];
      }
    }
  }
};

}  // namespace alphaflops::cuda
