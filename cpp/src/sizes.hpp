// Checks of sizes that name the layer and the field.
#pragma once

#include <cstdint>
#include <string>

#include "alphaflops/error.hpp"
#include "alphaflops/graph.hpp"

namespace alphaflops {

inline void require_at_least(const std::string& name, const char* field, std::int64_t value,
                             std::int64_t least) {
  if (value < least) {
    throw ShapeError(name + ": " + field + " is " + std::to_string(value) +
                     "; it must be at least " + std::to_string(least));
  }
}

inline void require_sizes(const std::string& name, const Shape& shape) {
  for (std::size_t i = 0; i < shape.size(); ++i) {
    require_at_least(name, ("dimension " + std::to_string(i)).c_str(), shape[i], 1);
  }
}

/// Of a transposed convolution: (in - 1) stride + dilation (kernel - 1) + 1 + output_padding, less
/// the padding on both sides. Raises ShapeError where nothing is left.
std::int64_t transposed_extent(const std::string& name, std::int64_t in, const AxisWindow& window);

}  // namespace alphaflops
