// Pieces of the operands of a gradient of weights, whose rows in memory are pixels.
//
// A tile is [depth][row] here: the depth runs over pixels, and the rows of A (output channels) and
// of B (taps and channels) lie side by side. A thread has the same piece of several pixels.
#pragma once

#include "conv_tile.cuh"
#include "matrix_tile.cuh"

namespace alphaflops::cuda {

// Rows of shared memory are longer than the tile by `pad` bytes, which spreads them over the banks.
template <class Stored, int tile_rows, int tile_columns, int tile_depth, int threads, int pad,
          Access access>
struct ConvWgradLoader {
  static constexpr int size = static_cast<int>(sizeof(Stored)), piece_elements = 16 / size;
  static constexpr int a_pitch = tile_rows * size + pad, b_pitch = tile_columns * size + pad;
  static constexpr int a_bytes = tile_depth * a_pitch;
  static constexpr int stage_bytes = a_bytes + tile_depth * b_pitch;
  static constexpr int a_pieces = tile_rows / piece_elements;
  static constexpr int b_pieces = tile_columns / piece_elements;
  static constexpr int a_step = threads / a_pieces, b_step = threads / b_pieces;
  static constexpr int a_count = tile_depth / a_step, b_count = tile_depth / b_step;
  static_assert(tile_depth % a_step == 0 && tile_depth % b_step == 0);
  static constexpr int taps = access == Access::scalar ? piece_elements : 1;

  const ConvMap& source;
  const Stored* gradient;  // of the thread's first row, at pixel 0
  const Stored* input;
  int pixels, gradient_pitch, rows_left, columns_left;
  DepthStep step[taps];  // of the thread's column, or of each element of it
  int a_piece, a_first, b_piece, b_first;
  uint4 a[a_count], b[b_count];  // what waits in registers, if anything does

  AF_DEVICE ConvWgradLoader(const ConvWgradParams& p, const BlockTile& block) : source(p.source) {
    const int thread = static_cast<int>(threadIdx.x), group = static_cast<int>(blockIdx.y);
    a_piece = thread % a_pieces, a_first = thread / a_pieces;
    b_piece = thread % b_pieces, b_first = thread / b_pieces;
    pixels = source.rows;
    gradient_pitch = source.result_pitch;
    const int row = block.row + a_piece * piece_elements;
    const int column = block.column + b_piece * piece_elements;
    rows_left = p.product.map.rows - row;
    columns_left = p.product.map.columns - column;
    gradient = static_cast<const Stored*>(p.product.weights) + group * source.columns + row;
    input = static_cast<const Stored*>(p.product.input) + group * source.channels;
    AF_UNROLL
    for (int i = 0; i < taps; ++i) step[i] = depth_step(source, source.phases[0], column + i);
  }

  AF_DEVICE const Stored* gradient_at(int pixel) const {
    return gradient + static_cast<long long>(pixel) * gradient_pitch;
  }
  AF_DEVICE bool meets(const SourceRow& at, int tap) const {
    return inside(source, at.y + step[tap].y, at.x + step[tap].x);
  }

  AF_DEVICE void copy(int tile, SharedAddress stage) const {
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) {
      const int depth = a_first + i * a_step, pixel = tile * tile_depth + depth;
      copy_async_16(stage + static_cast<unsigned>(depth * a_pitch + a_piece * 16),
                    gradient_at(pixel), rows_left > 0 && pixel < pixels);
    }
    AF_UNROLL
    for (int i = 0; i < b_count; ++i) {
      const int depth = b_first + i * b_step, pixel = tile * tile_depth + depth;
      const SourceRow at = source_row(source, source.phases[0], pixel);
      copy_async_16(stage + static_cast<unsigned>(a_bytes + depth * b_pitch + b_piece * 16),
                    input + (at.offset + step[0].source),
                    columns_left > 0 && pixel < pixels && meets(at, 0));
    }
  }

  AF_DEVICE void fetch(int tile) {
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) {
      const int pixel = tile * tile_depth + a_first + i * a_step;
      a[i] = piece_of<access>(gradient_at(pixel), pixel < pixels ? rows_left : 0);
    }
    AF_UNROLL
    for (int i = 0; i < b_count; ++i) {
      const int pixel = tile * tile_depth + b_first + i * b_step;
      const SourceRow at = source_row(source, source.phases[0], pixel);
      const int left = pixel < pixels ? columns_left : 0;
      if constexpr (access == Access::scalar) {
        Pack<Stored, piece_elements> pack = {};
        AF_UNROLL
        for (int e = 0; e < piece_elements; ++e) {
          if (e < left && meets(at, e)) pack.element[e] = input[at.offset + step[e].source];
        }
        b[i] = bit_cast<uint4>(pack);
      } else {
        b[i] = piece_of<access>(input + (at.offset + step[0].source), meets(at, 0) ? left : 0);
      }
    }
  }

  AF_DEVICE void put(unsigned char* stage) const {
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) {
      *reinterpret_cast<uint4*>(stage + (a_first + i * a_step) * a_pitch + a_piece * 16) = a[i];
    }
    AF_UNROLL
    for (int i = 0; i < b_count; ++i) {
      *reinterpret_cast<uint4*>(stage + a_bytes + (b_first + i * b_step) * b_pitch + b_piece * 16) =
          b[i];
    }
  }
};

}  // namespace alphaflops::cuda
