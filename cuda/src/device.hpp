// The GPU and its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "../plan/problem.hpp"

namespace alphaflops::cuda {

struct DeviceInfo {
  int index = 0;
  std::string name, pci_bus;
  Target target;
  std::int64_t l2_bytes = 0, memory_bytes = 0;
  double clock_hz = 0.0;                        // the most it runs at
  int driver_version = 0, runtime_version = 0;  // 1000 * major + 10 * minor
};

/// Raises NoDeviceError without a GPU or a driver, DriverError where the driver is too old.
int device_count();
/// Raises as `device_count`, and UnsupportedError for an index that is none.
DeviceInfo device_info(int index = 0);

/// Makes a device the thread's current one as long as it lives: which one is current belongs to
/// the caller. Raises DeviceError.
class CurrentDevice {
 public:
  explicit CurrentDevice(int index);
  ~CurrentDevice();
  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  int before_ = 0, index_ = 0;
};

struct MemoryInfo {
  std::int64_t free_bytes = 0, total_bytes = 0;
};
MemoryInfo memory_info(int index = 0);

/// Memory of a device, given back at the end. Raises DeviceMemoryError, with what is needed and
/// what is free, before it asks the driver for more than there is.
class DeviceMemory {
 public:
  DeviceMemory(std::int64_t bytes, int device = 0);
  ~DeviceMemory();
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  std::uint64_t address() const { return address_; }
  std::int64_t size() const { return size_; }
  /// Raise ShapeError beyond the end.
  void write(const void* from, std::int64_t bytes, std::int64_t offset = 0);
  void read(void* to, std::int64_t bytes, std::int64_t offset = 0) const;
  /// Fills all of it with copies of its first `bytes`, which were written before.
  void repeat(std::int64_t bytes);

 private:
  void check_range(std::int64_t bytes, std::int64_t offset) const;

  std::uint64_t address_ = 0;
  std::int64_t size_ = 0;
  int device_ = 0;
};

}  // namespace alphaflops::cuda
