#include "arena.hpp"

#include <algorithm>
#include <numeric>

#include "alphaflops/error.hpp"
#include "memory.hpp"

namespace alphaflops {

ArenaPlan plan_arena(std::span<const Lifetime> tensors) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return tensors[a].floats > tensors[b].floats;
  });
  ArenaPlan plan;
  plan.offsets.resize(tensors.size());
  std::vector<std::size_t> placed;  // ascending in offset
  for (const std::size_t i : order) {
    const Lifetime& tensor = tensors[i];
    std::int64_t offset = 0;
    for (const std::size_t j : placed) {
      const Lifetime& other = tensors[j];
      if (other.last < tensor.first || tensor.last < other.first) continue;
      if (offset + tensor.floats <= plan.offsets[j]) break;
      offset = std::max(offset, round_up_to_line(plan.offsets[j] + other.floats));
    }
    plan.offsets[i] = offset;
    plan.floats = std::max(plan.floats, checked_add(offset, tensor.floats, "activations"));
    const auto later = [&](std::size_t j) { return plan.offsets[j] > offset; };
    placed.insert(std::find_if(placed.begin(), placed.end(), later), i);
  }
  return plan;
}

}  // namespace alphaflops
