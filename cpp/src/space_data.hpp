// What a compiled space holds.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "alphaflops/compiled_space.hpp"

namespace alphaflops {

inline constexpr std::size_t most_entries = std::size_t{1} << 22;  // of a table

/// Columns of the tables of sums; those of a profile follow, profile by profile.
enum SumColumn : std::size_t {
  column_macs,
  column_flops,
  column_params,
  column_bytes_read,
  column_bytes_written,
  column_launches,
  column_resident_bytes,  // parameters and constants
  count_columns
};

struct ProfileFacts {
  std::string name;
  double overhead_s = 0.0;  // what every network takes on top
  std::optional<double> power_w;
  std::vector<std::string> unpriced;
};

struct CompiledSpace::Data {
  std::string name;
  std::vector<Position> positions;
  std::vector<ProfileFacts> profiles;
  Mode mode = Mode::fused;
  std::size_t kinds = 0;  // operator kinds in the space
  std::size_t parts = 0;
  std::vector<SpaceTable> sums;
  std::vector<double> base;  // [columns], what no position decides
  std::vector<SpaceTable> peaks;
  double base_peak = 0.0;
  std::vector<std::vector<std::size_t>> tables_of;  // of sums, that a position has a say in

  std::size_t columns() const { return base.size(); }
  // Seconds, alpha MACs, and the interval's half-widths below and above, of every kind.
  std::size_t columns_of_profile() const { return 2 + 2 * kinds; }
  std::size_t first_column(int profile) const {
    return count_columns + static_cast<std::size_t>(profile) * columns_of_profile();
  }
  std::size_t time_column(int profile) const { return first_column(profile); }
  std::size_t alpha_column(int profile) const { return first_column(profile) + 1; }
  std::size_t below_column(int profile, std::size_t kind) const {
    return first_column(profile) + 2 + kind;
  }
  std::size_t above_column(int profile, std::size_t kind) const {
    return first_column(profile) + 2 + kinds + kind;
  }

  std::size_t choices(int position) const {
    return positions[static_cast<std::size_t>(position)].choices.size();
  }
  void require_profile(int profile) const;
};

/// Raises ModelError naming the position.
void require_code(const std::string& space, const std::vector<Position>& positions,
                  std::span<const std::uint8_t> code);

/// A sum's column, and what to multiply it by. Raises UnsupportedError for what is no sum.
struct LinearQuantity {
  std::size_t column;
  double scale;
};
LinearQuantity linear_quantity(const CompiledSpace::Data& data, Quantity quantity,
                               const char* what);

/// The entry of a table that a code chooses.
inline std::size_t entry_of(const SpaceTable& table, const CompiledSpace::Data& data,
                            const std::uint8_t* code) {
  std::size_t entry = 0;
  std::size_t stride = 1;
  for (const int position : table.positions) {
    entry += stride * code[position];
    stride *= data.choices(position);
  }
  return entry;
}

}  // namespace alphaflops
