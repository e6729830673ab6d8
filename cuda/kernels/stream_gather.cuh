// Copies by index: of a tensor whose axes lie otherwise, and of rows of a table.
#pragma once

#include "device.cuh"
#include "stream_params.cuh"

namespace alphaflops::cuda {

template <class Unit>
AF_DEVICE void stream_copy_axes(const CopyAxesParams& p) {
  const long long first = static_cast<long long>(blockIdx.x) * (stream_threads * stream_unroll);
  Unit moved[stream_unroll];
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const unsigned within = static_cast<unsigned>(i * stream_threads) + threadIdx.x;
    moved[i] = Unit{};
    if (first + within >= p.units) continue;
    Split at = split(first, within, p.by_size[copy_rank - 1]);
    long long from = 0;
    bool is_inside = true;
    AF_UNROLL
    for (int axis = copy_rank - 1; axis >= 0; --axis) {
      int index = static_cast<int>(axis == 0 ? at.quotient : at.remainder) + p.shift[axis];
      if (p.shift[axis] != 0 && index >= p.extent[axis]) index -= p.extent[axis];
      is_inside = is_inside && index < p.extent[axis];
      from += index * p.stride[axis];
      if (axis > 1) {
        at.remainder = at.quotient;
        at.quotient = divide_keep(at.remainder, p.by_size[axis - 1]);
      }
    }
    if (is_inside) moved[i] = static_cast<const Unit*>(p.input)[from];
  }
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const long long unit = first + i * stream_threads + threadIdx.x;
    if (unit < p.units) static_cast<Unit*>(p.output)[unit] = moved[i];
  }
}

template <class Unit>
AF_DEVICE void stream_lookup(const LookupParams& p) {
  const long long first = static_cast<long long>(blockIdx.x) * (stream_threads * stream_unroll);
  Unit moved[stream_unroll];
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const unsigned within = static_cast<unsigned>(i * stream_threads) + threadIdx.x;
    if (first + within >= p.packs) continue;
    const Split at = split(first, within, p.by_row_packs);
    unsigned row = static_cast<unsigned>(p.input[at.quotient]) & 0x7fffffffu;
    divide_keep(row, p.by_rows);
    moved[i] = static_cast<const Unit*>(
        p.weights)[static_cast<long long>(row) * p.row_packs + at.remainder];
  }
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const long long pack = first + i * stream_threads + threadIdx.x;
    if (pack < p.packs) static_cast<Unit*>(p.output)[pack] = moved[i];
  }
}

#define AF_GATHER(name, Unit)                                                                      \
  AF_KERNEL void __launch_bounds__(stream_threads)                                                 \
      stream_copy_axes_##name(AF_PARAM CopyAxesParams p) {                                         \
    stream_copy_axes<Unit>(p);                                                                     \
  }                                                                                                \
  AF_KERNEL void __launch_bounds__(stream_threads) stream_lookup_##name(AF_PARAM LookupParams p) { \
    stream_lookup<Unit>(p);                                                                        \
  }
AF_GATHER(b16, uint4)
AF_GATHER(b4, unsigned)
AF_GATHER(b2, unsigned short)
AF_GATHER(b1, unsigned char)
#undef AF_GATHER

}  // namespace alphaflops::cuda
