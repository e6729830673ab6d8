// Pieces of 16 bytes of A, whose rows hold their depth, and of B, whose rows are of one depth.
#pragma once

#include "conv_tile.cuh"
#include "matrix_tile.cuh"

namespace alphaflops::cuda {

// Rows of B are longer than the tile by `pad` bytes in shared memory, which spreads them over the
// banks. A's are as in ConvLoader.
template <class Stored, int tile_rows, int tile_columns, int tile_depth, int threads, int pad,
          Access access>
struct MatmulLoader {
  static constexpr int size = static_cast<int>(sizeof(Stored)), piece_elements = 16 / size;
  static constexpr int row_bytes = tile_depth * size;
  static constexpr int b_pitch = tile_columns * size + pad;
  static constexpr int a_bytes = tile_rows * row_bytes;
  static constexpr int stage_bytes = a_bytes + tile_depth * b_pitch;
  static constexpr int a_pieces = row_bytes / 16, b_pieces = tile_columns / piece_elements;
  static constexpr int a_step = threads / a_pieces, b_step = threads / b_pieces;
  static constexpr int a_count = tile_rows / a_step, b_count = tile_depth / b_step;
  static_assert(tile_rows % a_step == 0 && tile_depth % b_step == 0);

  const Stored* a_from;  // of the thread's piece of its first row, at depth 0
  const Stored* b_from;
  int a_row_pitch, b_row_pitch, depth, rows_left, columns_left;
  int a_piece, a_first, b_piece, b_first;
  uint4 a[a_count], b[b_count];  // what waits in registers, if anything does

  AF_DEVICE MatmulLoader(const ConvIgemmParams& p, const BlockTile& block) {
    const int thread = static_cast<int>(threadIdx.x);
    a_piece = thread % a_pieces, a_first = thread / a_pieces;
    b_piece = thread % b_pieces, b_first = thread / b_pieces;
    a_row_pitch = p.map.source_pitch, b_row_pitch = p.map.weight_pitch;
    depth = p.map.phases[0].depth;
    const int row = block.row + a_first, column = block.column + b_piece * piece_elements;
    rows_left = p.map.rows - row;
    columns_left = p.map.columns - column;
    a_from = static_cast<const Stored*>(p.input) + static_cast<long long>(row) * a_row_pitch +
             a_piece * piece_elements;
    b_from = static_cast<const Stored*>(p.weights) + static_cast<long long>(b_first) * b_row_pitch +
             column;
  }

  // put(number, address, elements that there are) for each of the thread's pieces of a tile.
  template <class Put>
  AF_DEVICE void pieces_of_a(int tile, const Put& put) const {
    const int first = tile * tile_depth;
    const int left = depth - first - a_piece * piece_elements;
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) {
      put(i, a_from + (static_cast<long long>(i * a_step) * a_row_pitch + first),
          i * a_step < rows_left ? left : 0);
    }
  }
  template <class Put>
  AF_DEVICE void pieces_of_b(int tile, const Put& put) const {
    AF_UNROLL
    for (int i = 0; i < b_count; ++i) {
      const int at = tile * tile_depth + i * b_step;
      put(i, b_from + static_cast<long long>(at) * b_row_pitch,
          at + b_first < depth ? columns_left : 0);
    }
  }

  AF_DEVICE int a_place(int i) const {
    return piece_offset<row_bytes>(a_first + i * a_step, a_piece);
  }
  AF_DEVICE int b_place(int i) const {
    return a_bytes + (b_first + i * b_step) * b_pitch + b_piece * 16;
  }

  AF_DEVICE void copy(int tile, SharedAddress stage) const {
    pieces_of_a(tile, [&](int i, const Stored* from, int left) {
      copy_async_16(stage + static_cast<unsigned>(a_place(i)), from, left > 0);
    });
    pieces_of_b(tile, [&](int i, const Stored* from, int left) {
      copy_async_16(stage + static_cast<unsigned>(b_place(i)), from, left > 0);
    });
  }

  AF_DEVICE void fetch(int tile) {
    pieces_of_a(tile,
                [&](int i, const Stored* from, int left) { a[i] = piece_of<access>(from, left); });
    pieces_of_b(tile,
                [&](int i, const Stored* from, int left) { b[i] = piece_of<access>(from, left); });
  }

  AF_DEVICE void put(unsigned char* stage) const {
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) *reinterpret_cast<uint4*>(stage + a_place(i)) = a[i];
    AF_UNROLL
    for (int i = 0; i < b_count; ++i) *reinterpret_cast<uint4*>(stage + b_place(i)) = b[i];
  }
};

}  // namespace alphaflops::cuda
