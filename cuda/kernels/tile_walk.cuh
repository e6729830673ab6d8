// In which order the blocks of a persistent kernel take the tiles of a product.
//
// A unit is what one block, or one cluster of blocks, makes at a time: as many tiles along the rows
// as a cluster has blocks. Units that run at the same time should share what they read: the walk
// goes along the columns of a swath, then down the rows, and only then to the next swath, so that
// those in flight cover a patch that is about square.
#pragma once

#include "types.cuh"

namespace alphaflops::cuda {

struct TileWalk {
  int units;        // of all groups and splits
  int last_swath;   // its columns may be fewer
  int swath_width;  // in column tiles
  FastDivisor by_part, by_groups, by_swath, by_width, by_last_width;
};

// Where a unit lies; `row` counts units, `column` tiles.
struct WalkedUnit {
  int row, column, group, split;
};

AF_HOST_DEVICE TileWalk make_walk(int row_units, int column_tiles, int groups, int splits,
                                  int widest) {
  const int width = widest < column_tiles ? widest : column_tiles;
  const int last = (column_tiles - 1) / width;
  TileWalk walk;
  walk.units = row_units * column_tiles * groups * splits;
  walk.last_swath = last;
  walk.swath_width = width;
  walk.by_part = make_divisor(static_cast<unsigned>(row_units * column_tiles));
  walk.by_groups = make_divisor(static_cast<unsigned>(groups));
  walk.by_swath = make_divisor(static_cast<unsigned>(row_units * width));
  walk.by_width = make_divisor(static_cast<unsigned>(width));
  walk.by_last_width = make_divisor(static_cast<unsigned>(column_tiles - last * width));
  return walk;
}

AF_HOST_DEVICE WalkedUnit unit_at(const TileWalk& walk, int unit) {
  unsigned rest = static_cast<unsigned>(unit);
  unsigned group = divide_keep(rest, walk.by_part);
  const unsigned split = divide(group, walk.by_groups);
  group -= split * walk.by_groups.divisor;
  const int swath = static_cast<int>(divide_keep(rest, walk.by_swath));
  const unsigned row =
      divide_keep(rest, swath == walk.last_swath ? walk.by_last_width : walk.by_width);
  return {static_cast<int>(row), swath * walk.swath_width + static_cast<int>(rest),
          static_cast<int>(group), static_cast<int>(split)};
}

}  // namespace alphaflops::cuda
