// Copies that change the place of elements: into the rows of a concatenation, and between NHWC and
// NCHW. Kernels go by the size of what they move, whatever it is.
#pragma once

#include "device.cuh"
#include "stream_params.cuh"

namespace alphaflops::cuda {

template <class Unit>
AF_DEVICE void stream_copy_channels(const CopyParams& p) {
  const long long first = static_cast<long long>(blockIdx.x) * (stream_threads * stream_unroll);
  Unit moved[stream_unroll];
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const long long unit = first + i * stream_threads + threadIdx.x;
    if (unit < p.units) moved[i] = static_cast<const Unit*>(p.input)[unit];
  }
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const unsigned within = static_cast<unsigned>(i * stream_threads) + threadIdx.x;
    if (first + within >= p.units) continue;
    const Split at = split(first, within, p.by_row);
    static_cast<Unit*>(p.output)[static_cast<long long>(at.quotient) * p.output_stride +
                                 p.output_offset + at.remainder] = moved[i];
  }
}

// A block transposes a square tile through shared memory, 32 x 8 threads. Global memory is read and
// written `pack` elements at a time, four bytes where sizes allow; the odd pitch of the tile puts
// the elements of a column into different banks.
template <class T, int pack>
AF_DEVICE void stream_transpose(const TransposeParams& p) {
  constexpr int side = 32 * pack;
  constexpr int pitch = side + 1;
  T* tile = static_cast<T*>(af_dynamic_shared());
  unsigned across = blockIdx.x;
  const unsigned image = divide_keep(across, p.by_image);
  const int first_row = static_cast<int>(divide_keep(across, p.by_across)) * side;
  const int first_column = static_cast<int>(across) * side;
  const long long matrix = static_cast<long long>(image) * p.rows * p.columns;
  const int lane = static_cast<int>(threadIdx.x) % 32 * pack;
  const int warp = static_cast<int>(threadIdx.x) / 32;

  AF_UNROLL
  for (int i = 0; i < side; i += stream_threads / 32) {
    const int row = warp + i;
    if (first_row + row >= p.rows || first_column + lane >= p.columns) continue;
    const auto x =
        load<T, pack>(static_cast<const T*>(p.input) + matrix +
                      static_cast<long long>(first_row + row) * p.columns + first_column + lane);
    AF_UNROLL
    for (int k = 0; k < pack; ++k) tile[row * pitch + lane + k] = x.element[k];
  }
  __syncthreads();
  AF_UNROLL
  for (int i = 0; i < side; i += stream_threads / 32) {
    const int column = warp + i;
    if (first_column + column >= p.columns || first_row + lane >= p.rows) continue;
    Pack<T, pack> y;
    AF_UNROLL
    for (int k = 0; k < pack; ++k) y.element[k] = tile[(lane + k) * pitch + column];
    store<T, pack>(static_cast<T*>(p.output) + matrix +
                       static_cast<long long>(first_column + column) * p.rows + first_row + lane,
                   y);
  }
}

#define AF_COPY(name, Unit)                                \
  AF_KERNEL void __launch_bounds__(stream_threads)         \
      stream_copy_channels_##name(AF_PARAM CopyParams p) { \
    stream_copy_channels<Unit>(p);                         \
  }
AF_COPY(b16, uint4)
AF_COPY(b4, unsigned)
AF_COPY(b2, unsigned short)
AF_COPY(b1, unsigned char)
#undef AF_COPY

#define AF_TRANSPOSE(name, T, pack)                         \
  AF_KERNEL void __launch_bounds__(stream_threads)          \
      stream_transpose_##name(AF_PARAM TransposeParams p) { \
    stream_transpose<T, pack>(p);                           \
  }
AF_TRANSPOSE(b4, unsigned, 1)
AF_TRANSPOSE(b2x2, unsigned short, 2)
AF_TRANSPOSE(b2, unsigned short, 1)
AF_TRANSPOSE(b1x4, unsigned char, 4)
AF_TRANSPOSE(b1, unsigned char, 1)
#undef AF_TRANSPOSE

}  // namespace alphaflops::cuda
