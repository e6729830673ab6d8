// The kernels of cuda/kernels, compiled once for all tests to run in the emulation.
//
// Knows nothing of emulate.hpp, so that sources with the toolkit's headers can include it.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace emulate {

/// Blocks of a grid, or threads of a block.
using Extents = std::array<unsigned, 3>;

/// A kernel with its type put aside; `symbol` is what plans call it.
struct Entry {
  std::string symbol;
  std::size_t parameter_bytes = 0;
  void (*kernel)() = nullptr;
  void (*run_any)(void (*)(), const Extents&, const Extents&, std::size_t, const std::byte*,
                  unsigned) = nullptr;
  std::string header;  // the file of cuda/kernels

  /// Throws what goes wrong in a thread.
  void run(const Extents& grid, const Extents& block, std::size_t shared_bytes,
           const std::byte* parameters, unsigned cluster) const {
    run_any(kernel, grid, block, shared_bytes, parameters, cluster);
  }
};

struct Header {
  std::string name;
  std::vector<Entry> kernels;
};

/// All that plans launch.
const std::vector<Header>& all_headers();

/// Kernels by name, and all of each header that is named, as in {"conv_simt.cuh",
/// "conv_reduce_fp32"}.
std::vector<Entry> kernels_of(const std::vector<std::string_view>& names);

// Each is a source of its own.
std::vector<Header> conv_channel_headers();
std::vector<Header> conv_igemm_headers();
std::vector<Header> conv_simt_headers();
std::vector<Header> conv_wgmma_headers();
std::vector<Header> conv_wgrad_headers();
std::vector<Header> matmul_headers();
std::vector<Header> probe_headers();
std::vector<Header> recurrent_headers();
std::vector<Header> stream_headers();

}  // namespace emulate
