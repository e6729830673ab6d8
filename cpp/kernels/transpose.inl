// y[column][row] = x[row][column], in tiles of a vector by a vector that are turned in registers.
//
// A tile reads and writes whole cache lines where rows begin on one. Tiles go down the rows within
// some columns, so that an output line that a tile left half written is in the cache when the next
// one goes on with it.
#pragma once

#include "tables.hpp"

namespace alphaflops::kernels {
namespace {

constexpr std::int64_t kTransposeColumns = 16 * kLanes;  // that lie side by side are read ahead

AF_INLINE void transpose_tile(const float* x, float* y, std::int64_t x_row, std::int64_t y_row) {
  Vec v[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) v[i] = load(x + i * x_row);
  turn(v);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) store(y + i * y_row, v[i]);
}

// The same of fewer rows or columns.
__attribute__((noinline)) void transpose_rest(const float* x, float* y, std::int64_t x_row,
                                              std::int64_t y_row, std::int64_t rows,
                                              std::int64_t columns) {
  Vec v[kLanes];
  for (int i = 0; i < kLanes; ++i) v[i] = splat(0.0f);
  for (std::int64_t i = 0; i < rows; ++i) {
    v[i] = columns == kLanes ? load(x + i * x_row) : load_part(x + i * x_row, columns);
  }
  turn(v);
  for (std::int64_t i = 0; i < columns; ++i) {
    if (rows == kLanes) {
      store(y + i * y_row, v[i]);
    } else {
      store_part(y + i * y_row, rows, v[i]);
    }
  }
}

void transpose(const TransposeArgs* args) {
  const TransposeArgs a = *args;
  const auto least = [](std::int64_t p, std::int64_t q) { return p < q ? p : q; };
  for (std::int64_t first = 0; first < a.columns; first += kTransposeColumns) {
    const std::int64_t last = least(a.columns, first + kTransposeColumns);
    for (std::int64_t row = 0; row < a.rows; row += kLanes) {
      const std::int64_t rows = least(kLanes, a.rows - row);
      for (std::int64_t column = first; column < last; column += kLanes) {
        const std::int64_t columns = least(kLanes, last - column);
        const float* x = a.x + row * a.x_row + column;
        float* y = a.y + column * a.y_row + row;
        if (rows == kLanes && columns == kLanes) {
          transpose_tile(x, y, a.x_row, a.y_row);
        } else {
          transpose_rest(x, y, a.x_row, a.y_row, rows, columns);
        }
      }
    }
  }
}

}  // namespace
}  // namespace alphaflops::kernels
