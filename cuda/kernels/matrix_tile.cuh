// A tile in shared memory whose rows hold their depth, and what a warp makes of two of them.
#pragma once

#include "accumulate.cuh"
#include "ptx.cuh"

namespace alphaflops::cuda {

namespace dtype {
using fp16 = half_t;
using bf16 = bf16_t;
using tf32 = Tf32;
using int8 = signed char;
}  // namespace dtype

// The element in memory of what the matrix units multiply.
template <class Element>
struct Matrix {
  using Stored = Element;
  static constexpr bool is_rounded = false;  // on the way to the matrix units
};
template <>
struct Matrix<Tf32> {
  using Stored = float;
  static constexpr bool is_rounded = true;
};

AF_DEVICE void multiply(half_t, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  multiply_add<half_t>(d, a, b);
}
AF_DEVICE void multiply(bf16_t, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  multiply_add<bf16_t>(d, a, b);
}
AF_DEVICE void multiply(Tf32, float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  multiply_add<Tf32>(d, a, b);
}
AF_DEVICE void multiply(signed char, int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
  multiply_add(d, a, b);
}

// Rows of 64 or 128 bytes in pieces of 16. A piece is put where row and piece say, so that neither
// eight rows of one piece nor the pieces of one row share banks. With 128 bytes this is the
// 128-byte swizzle of the copy engine and of wgmma, where the tile is aligned to 1024 bytes.
template <int row_bytes>
AF_DEVICE int piece_offset(int row, int piece) {
  static_assert(row_bytes == 64 || row_bytes == 128);
  const int key = row_bytes == 128 ? row & 7 : (row >> 1) & 3;
  return row * row_bytes + ((piece ^ key) << 4);
}

// The fragments and sums of one warp: 16 `m` rows, 8 `n` columns.
template <class Element, int m, int n, int row_bytes>
struct WarpTile {
  using Sum = typename Arithmetic<typename Matrix<Element>::Stored>::Sum;
  static_assert(n % 2 == 0);

  Sum sums[m][n][4];
  unsigned a[2][m][4], b[2][n / 2][4];  // one of each is multiplied while the other is loaded
  int a_row, b_row, a_key, b_key;       // bytes from the start of the tiles

  AF_DEVICE void start(int first_row, int first_column) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    AF_UNROLL
    for (int i = 0; i < m; ++i) {
      AF_UNROLL
      for (int j = 0; j < n; ++j) {
        AF_UNROLL
        for (int e = 0; e < 4; ++e) sums[i][j][e] = 0;
      }
    }
    // ldmatrix: tiles 0 to 3 are rows 0-7 and 8-15 of one piece, then of the next; for B, whose
    // registers come in pairs a column, two pieces of columns 0-7, then of 8-15.
    const int row = first_row + lane % 16, column = first_column + lane % 8 + lane / 16 * 8;
    a_row = row * row_bytes;
    b_row = column * row_bytes;
    a_key = piece_offset<row_bytes>(row, lane / 16) - a_row;
    b_key = piece_offset<row_bytes>(column, lane / 8 % 2) - b_row;
  }

  // 16 rows of A and 32 bytes of its depth.
  AF_DEVICE void load_a(unsigned (&to)[4], int i, int step, SharedAddress a_tile) const {
    load_matrices(
        to, a_tile + static_cast<unsigned>(a_row + i * 16 * row_bytes + (a_key ^ (step * 32))));
  }

  AF_DEVICE void load(int slot, int step, SharedAddress a_tile, SharedAddress b_tile) {
    AF_UNROLL
    for (int i = 0; i < m; ++i) load_a(a[slot][i], i, step, a_tile);
    AF_UNROLL
    for (int j = 0; j < n / 2; ++j) {
      load_matrices(b[slot][j], b_tile + static_cast<unsigned>(b_row + j * 16 * row_bytes +
                                                               (b_key ^ (step * 32))));
    }
  }

  AF_DEVICE void multiply_loaded(int slot) {
    if constexpr (Matrix<Element>::is_rounded) {
      AF_UNROLL
      for (int e = 0; e < 4; ++e) {
        AF_UNROLL
        for (int i = 0; i < m; ++i) a[slot][i][e] = round_tf32(a[slot][i][e]);
        AF_UNROLL
        for (int j = 0; j < n / 2; ++j) b[slot][j][e] = round_tf32(b[slot][j][e]);
      }
    }
    AF_UNROLL
    for (int i = 0; i < m; ++i) {
      AF_UNROLL
      for (int j = 0; j < n; ++j) {
        const unsigned pair[2] = {b[slot][j / 2][j % 2 * 2], b[slot][j / 2][j % 2 * 2 + 1]};
        multiply(Element{}, sums[i][j], a[slot][i], pair);
      }
    }
  }

  // The whole depth of the tiles.
  AF_DEVICE void add(SharedAddress a_tile, SharedAddress b_tile) {
    load(0, 0, a_tile, b_tile);
    AF_UNROLL
    for (int step = 0; step < row_bytes / 32; ++step) {
      if (step + 1 < row_bytes / 32) load((step + 1) % 2, step + 1, a_tile, b_tile);
      multiply_loaded(step % 2);
    }
  }
};

}  // namespace alphaflops::cuda
