// Pieces of 16 bytes of the two operands, on their way to shared memory.
//
// A thread has the same piece of several rows, so that one division of the depth serves them all.
#pragma once

#include "conv_igemm_params.cuh"
#include "conv_tile.cuh"
#include "matrix_tile.cuh"

namespace alphaflops::cuda {

template <class Stored, int tile_rows, int tile_columns, int tile_depth, int threads, Access access>
struct ConvLoader {
  static constexpr int row_bytes = tile_depth * static_cast<int>(sizeof(Stored));
  static constexpr int a_bytes = tile_rows * row_bytes;
  static constexpr int stage_bytes = a_bytes + tile_columns * row_bytes;
  static constexpr int pieces = row_bytes / 16;
  static constexpr int piece_elements = 16 / static_cast<int>(sizeof(Stored));
  static constexpr int rows_a_pass = threads / pieces;
  static constexpr int a_count = tile_rows / rows_a_pass, b_count = tile_columns / rows_a_pass;
  static_assert(tile_rows % rows_a_pass == 0 && tile_columns % rows_a_pass == 0);
  static_assert(a_count > 0 && b_count > 0);
  // Of a single row, two divisions a tile cost less than the registers to remember it.
  static constexpr bool forgets_row = a_count == 1 && access == Access::vector;

  const ConvMap& map;
  const ConvPhase& phase;
  const Stored* source[a_count];
  int y[a_count], x[a_count];
  const Stored* input;  // where the group begins, and the thread's first row
  int first_row;
  const Stored* weights;
  int columns_left;
  int piece, first;              // of this thread's: piece of every row, first row
  uint4 a[a_count], b[b_count];  // what waits in registers, if anything does

  AF_DEVICE ConvLoader(const ConvIgemmParams& p, const BlockTile& block)
      : ConvLoader(p, block, static_cast<int>(blockIdx.y)) {}

  AF_DEVICE ConvLoader(const ConvIgemmParams& p, const BlockTile& block, int group)
      : map(p.map), phase(p.map.phases[block.phase]) {
    const int thread = static_cast<int>(threadIdx.x) % threads;
    piece = thread % pieces;
    first = thread / pieces;
    input = static_cast<const Stored*>(p.input) + group * map.channels;
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) {
      const int row = block.row + first + i * rows_a_pass;
      const bool exists = row < map.rows;
      const SourceRow at = source_row(map, phase, exists ? row : 0);
      source[i] = input + at.offset;
      y[i] = exists ? at.y : -(1 << 30);  // such a row is all padding
      x[i] = at.x;
    }
    first_row = block.row + first;
    columns_left = map.columns - block.column - first;
    weights = static_cast<const Stored*>(p.weights) + block.first_weight +
              static_cast<long long>(group * map.columns + block.column + first) * map.weight_pitch;
  }

  // put(is_weight, number, address, valid) for each of the thread's pieces from `depth` on.
  template <class Put>
  AF_DEVICE void pieces_at(int depth, const Put& put) const {
    const int own = depth + piece * piece_elements;
    const bool in_depth = own < phase.depth;
    const DepthStep step =
        access == Access::pointwise ? DepthStep{0, 0, own, own} : depth_step(map, phase, own);
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) {
      if constexpr (forgets_row) {
        const SourceRow at = source_row(map, phase, first_row);
        put(false, i, input + (at.offset + step.source),
            in_depth && first_row < map.rows && inside(map, at.y + step.y, at.x + step.x));
        continue;
      }
      const bool valid =
          in_depth &&
          (access == Access::pointwise ? y[i] >= 0 : inside(map, y[i] + step.y, x[i] + step.x));
      put(false, i, source[i] + step.source, valid);
    }
    AF_UNROLL
    for (int i = 0; i < b_count; ++i) {
      put(true, i, weights + (step.weight + i * rows_a_pass * map.weight_pitch),
          in_depth && i * rows_a_pass < columns_left);
    }
  }

  AF_DEVICE void copy(int tile, SharedAddress stage) const {
    pieces_at(tile * tile_depth, [&](bool is_weight, int i, const Stored* from, bool valid) {
      const int at = piece_offset<row_bytes>(first + i * rows_a_pass, piece);
      copy_async_16(stage + static_cast<unsigned>(is_weight ? a_bytes + at : at), from, valid);
    });
  }

  AF_DEVICE void put(unsigned char* stage) const {
    AF_UNROLL
    for (int i = 0; i < a_count; ++i) {
      *reinterpret_cast<uint4*>(stage + piece_offset<row_bytes>(first + i * rows_a_pass, piece)) =
          a[i];
    }
    AF_UNROLL
    for (int i = 0; i < b_count; ++i) {
      *reinterpret_cast<uint4*>(stage + a_bytes +
                                piece_offset<row_bytes>(first + i * rows_a_pass, piece)) = b[i];
    }
  }

  // The pieces to registers, zeros where there is nothing.
  AF_DEVICE void fetch(int tile) {
    const int depth = tile * tile_depth;
    if constexpr (access != Access::scalar) {
      pieces_at(depth, [&](bool is_weight, int i, const Stored* from, bool valid) {
        const uint4 value = valid ? *reinterpret_cast<const uint4*>(from) : make_uint4(0, 0, 0, 0);
        (is_weight ? b[i] : a[i]) = value;
      });
    } else {
      Pack<Stored, piece_elements> as[a_count] = {}, bs[b_count] = {};
      AF_UNROLL
      for (int e = 0; e < piece_elements; ++e) {
        const int own = depth + piece * piece_elements + e;
        if (own < phase.depth) {
          const DepthStep step = depth_step(map, phase, own);
          AF_UNROLL
          for (int i = 0; i < a_count; ++i) {
            if (inside(map, y[i] + step.y, x[i] + step.x)) {
              as[i].element[e] = source[i][step.source];
            }
          }
          AF_UNROLL
          for (int i = 0; i < b_count; ++i) {
            if (i * rows_a_pass < columns_left) {
              bs[i].element[e] = weights[step.weight + i * rows_a_pass * map.weight_pitch];
            }
          }
        }
      }
      AF_UNROLL
      for (int i = 0; i < a_count; ++i) a[i] = bit_cast<uint4>(as[i]);
      AF_UNROLL
      for (int i = 0; i < b_count; ++i) b[i] = bit_cast<uint4>(bs[i]);
    }
  }
};

}  // namespace alphaflops::cuda
