// Tensor maps, encoded by the driver into the bytes that the tensor memory accelerator reads.
#pragma once

#include <cstddef>
#include <cstdint>

#include "../plan/launch.hpp"

namespace alphaflops::cuda {

inline constexpr std::size_t tensor_map_bytes = 128;

/// Writes the map of memory at `address` to `to`. Raises DriverError where the driver cannot
/// encode maps, DeviceError where it refuses this one.
void encode(const TensorMap& map, std::uint64_t address, std::byte* to);

}  // namespace alphaflops::cuda
