// Copies that change the place of elements: parts into the rows of a concatenation, and between
// NHWC and NCHW. Kernels go by the size of what they move, whatever it is.
#pragma once

#include "device.cuh"
#include "stream_params.cuh"

namespace alphaflops::cuda {

// A block copies from one part. All of its threads look up the same one, as parameters want it.
template <class Unit>
AF_DEVICE void stream_concat(const ConcatParams& p) {
  int number = 0;
  AF_UNROLL
  for (int step = concat_parts / 2; step > 0; step /= 2) {
    if (blockIdx.x >= p.part[number + step].first_block) number += step;
  }
  const ConcatPart& part = p.part[number];
  const long long first =
      static_cast<long long>(blockIdx.x - part.first_block) * (stream_threads * stream_unroll);
  Unit moved[stream_unroll];
  Split at[stream_unroll];
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const unsigned within = static_cast<unsigned>(i * stream_threads) + threadIdx.x;
    if (first + within >= part.units) continue;
    at[i] = split(first, within, part.by_row);
    moved[i] = static_cast<const Unit*>(
        part.input)[static_cast<long long>(at[i].quotient) * part.stride + at[i].remainder];
  }
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    if (first + i * stream_threads + threadIdx.x >= part.units) continue;
    static_cast<Unit*>(p.output)[static_cast<long long>(at[i].quotient) * p.output_stride +
                                 part.first_column + at[i].remainder] = moved[i];
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

#define AF_CONCAT(name, Unit)                                                                      \
  AF_KERNEL void __launch_bounds__(stream_threads) stream_concat_##name(AF_PARAM ConcatParams p) { \
    stream_concat<Unit>(p);                                                                        \
  }
AF_CONCAT(b16, uint4)
AF_CONCAT(b4, unsigned)
AF_CONCAT(b2, unsigned short)
AF_CONCAT(b1, unsigned char)
#undef AF_CONCAT

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
