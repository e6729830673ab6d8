// A launch as data: which kernel, on what grid, with which bytes as its one parameter.
//
//     problem x target --plan--> launches --(pointers filled in)--> device
//
// Needs no toolkit. The native path, the CuPy path and the emulation on a processor all read it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "alphaflops/dtype.hpp"

namespace alphaflops::cuda {

inline constexpr std::int64_t most_blocks_y = 65535;  // of a grid; and z

// Sizes that are known to fit.
inline int int_of(std::int64_t size) { return static_cast<int>(size); }
inline unsigned unsigned_of(std::int64_t size) { return static_cast<unsigned>(size); }

/// Memory that a caller brings. `output` is what the pass writes: activations, the gradient of the
/// input, or that of the weights. `flag` is a word that the host writes while a kernel waits. A
/// concatenation reads `part_0` and those that follow it.
enum class Buffer : std::uint8_t {
  input,
  weights,
  bias,
  output,
  workspace,
  output_gradient,
  second_input,
  flag,
  third_input,
  mask,
  part_0,
};
inline constexpr int part_count = 32;  // inputs of one launch of a concatenation
inline constexpr int buffer_count = static_cast<int>(Buffer::part_0) + part_count;
inline Buffer part_buffer(int number) {
  return static_cast<Buffer>(static_cast<int>(Buffer::part_0) + number);
}
std::string to_string(Buffer buffer);

/// The address of `buffer`, plus `byte_offset`, goes to these 8 bytes of the parameters.
struct Pointer {
  std::uint32_t offset = 0;
  Buffer buffer = Buffer::input;
  std::int64_t byte_offset = 0;
};

enum class Swizzle : std::uint8_t { none, bytes_32, bytes_64, bytes_128 };

/// What the driver encodes to 128 bytes of the parameters (aligned to 64) before the launch.
/// Innermost dimension first, as the driver has it. `im2col` uses the corners, `channels_per_pixel`
/// and `pixels_per_column` in place of the box.
struct TensorMap {
  std::uint32_t offset = 0;
  Buffer buffer = Buffer::input;
  std::int64_t byte_offset = 0;
  DType dtype = DType::fp16;
  std::uint32_t rank = 2;
  std::array<std::uint64_t, 5> sizes{};
  std::array<std::uint64_t, 4> strides_bytes{};  // of dimensions 1 and up
  std::array<std::uint32_t, 5> box{};
  std::array<std::uint32_t, 5> element_strides{1, 1, 1, 1, 1};
  Swizzle swizzle = Swizzle::none;
  bool im2col = false;
  std::array<int, 3> lower_corner{};
  std::array<int, 3> upper_corner{};
  std::uint32_t channels_per_pixel = 0;
  std::uint32_t pixels_per_column = 0;
};

struct Launch {
  std::string symbol;
  std::string header;       // the file of cuda/kernels that has it
  int min_arch = 75;        // ten times the compute capability
  bool exact_arch = false;  // its instructions exist on min_arch only (sm_90a)
  std::array<unsigned, 3> grid{1, 1, 1}, block{1, 1, 1}, cluster{1, 1, 1};
  unsigned shared_bytes = 0;     // dynamic
  bool overlaps_before = false;  // may start before the launch before it has ended (griddepcontrol)
  std::vector<std::byte> parameters;
  std::vector<Pointer> pointers;
  std::vector<TensorMap> tensor_maps;
};

struct Plan {
  std::vector<Launch> launches;
  std::int64_t workspace_bytes = 0;
  std::string algorithm, tile;
  double operations = 0.0;  // arithmetic ones, a multiply-add being two; of probes
  double bytes = 0.0;       // read and written; of probes
};

/// The bytes of a kernel's parameter.
template <typename Params>
std::vector<std::byte> bytes_of(const Params& params) {
  static_assert(std::is_trivially_copyable_v<Params>);
  const auto* first = reinterpret_cast<const std::byte*>(&params);
  return {first, first + sizeof(Params)};
}

}  // namespace alphaflops::cuda
