// How a copy into another order of the axes reads.
#include <vector>

#include "count.hpp"

namespace alphaflops {

void count_order(Work& w, const Shape& shape, const std::vector<std::int64_t>& order) {
  std::vector<std::int64_t> strides(shape.size());
  std::int64_t within = 1;
  for (std::size_t i = order.size(); i-- > 0;) {
    const auto axis = static_cast<std::size_t>(order[i]);
    strides[axis] = within;
    within *= shape[axis];  // all of it is at most the node's elements, which have been counted
  }
  std::int64_t run = 1, stride = 1;
  for (std::size_t axis = shape.size(); axis-- > 0;) {
    if (shape[axis] == 1) continue;
    if (run == 1) stride = strides[axis];
    if (strides[axis] != stride * run) break;
    run *= shape[axis];
  }
  w.spatial = w.elements_written / w.batch;
  w.width = run;
  w.stride = stride;
  w.kernel_volume = stride & -stride;
}

}  // namespace alphaflops
