// Parts of a space's networks and what each costs, between `space_explore` and `space_tabulate`.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alphaflops/work.hpp"
#include "space_data.hpp"

namespace alphaflops {

/// A part in one state with one choice.
struct Priced {
  WorkTable work;
  std::int64_t peak_bytes = 0, resident_bytes = 0;
  int next = 0;  // state
};

/// A number for each assignment of some positions, the first of which varies fastest.
struct Dependence {
  std::vector<int> positions;
  std::vector<int> values;
};

struct Parts {
  Mode mode = Mode::fused;  // in which they were lowered
  std::vector<Priced> priced;
  std::vector<Dependence> terms;  // of every part: which one it is, by the positions that decide
};

/// For each entry of a table over `positions`, the entry of one over `part`, some of these.
template <typename Choices>
std::vector<std::size_t> projection(const std::vector<int>& positions, const std::vector<int>& part,
                                    std::size_t entries, const Choices& choices) {
  std::vector<std::size_t> result(entries, 0);
  std::size_t inner = 1;
  std::size_t stride = 1;
  for (const int position : positions) {
    const std::size_t n = choices(position);
    if (std::ranges::find(part, position) != part.end()) {
      for (std::size_t i = 0; i < entries; ++i) result[i] += stride * (i / inner % n);
      stride *= n;
    }
    inner *= n;
  }
  return result;
}

/// Prices the parts and adds them up in tables; `reuse_bytes` as in CompileOptions. Raises
/// ProfileError listing what a profile does not price, and UnsupportedError for tables that would
/// be too large.
CompiledSpace::Data tabulate(const std::string& name, const std::vector<Position>& positions,
                             const Parts& parts, std::span<const Profile* const> profiles,
                             std::optional<double> reuse_bytes);

}  // namespace alphaflops
