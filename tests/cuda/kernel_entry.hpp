// Makes entries of the tables of kernels.hpp, where emulate.hpp came first.
#pragma once

#include <cstring>
#include <string>
#include <utility>

#include "kernels.hpp"

namespace emulate {

template <class Params>
Entry entry(std::string symbol, void (*kernel)(Params)) {
  return {std::move(symbol),
          sizeof(Params),
          reinterpret_cast<void (*)()>(kernel),
          [](void (*any)(), const Extents& grid, const Extents& block, std::size_t shared,
             const std::byte* bytes, unsigned cluster) {
            Params params;
            std::memcpy(static_cast<void*>(&params), bytes, sizeof(Params));
            launch(reinterpret_cast<void (*)(Params)>(any), {grid[0], grid[1], grid[2]},
                   {block[0], block[1], block[2]}, shared, params, cluster);
          },
          {}};
}
#define EMULATE_ENTRY(kernel) emulate::entry(#kernel, &kernel)

}  // namespace emulate
