#include "device.hpp"

#include <algorithm>

#include "check.hpp"

namespace alphaflops::cuda {

namespace {

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  check(cudaDeviceGetAttribute(&value, which, device), "asking the device what it is");
  return value;
}

void* pointer(std::uint64_t address) { return reinterpret_cast<void*>(address); }

}  // namespace

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "looking for a GPU");
  return count;
}

DeviceInfo device_info(int index) {
  const int count = device_count();
  if (index < 0 || index >= count) {
    throw UnsupportedError("device " + std::to_string(index) + " is not there; there are " +
                           std::to_string(count) + ", counted from 0");
  }
  cudaDeviceProp properties{};
  check(cudaGetDeviceProperties(&properties, index), "asking the device what it is");
  char bus[32] = "";
  check(cudaDeviceGetPCIBusId(bus, sizeof bus, index), "asking the device where it is");

  DeviceInfo info;
  info.index = index;
  info.name = properties.name;
  info.pci_bus = bus;
  info.target = {.arch = 10 * properties.major + properties.minor,
                 .has_a_features = properties.major == 9 && properties.minor == 0,
                 .sm_count = properties.multiProcessorCount,
                 .shared_per_block_bytes = static_cast<int>(properties.sharedMemPerBlockOptin)};
  info.l2_bytes = properties.l2CacheSize;
  info.memory_bytes = static_cast<std::int64_t>(properties.totalGlobalMem);
  info.clock_hz = 1e3 * attribute(cudaDevAttrClockRate, index);
  check(cudaDriverGetVersion(&info.driver_version), "asking for the driver's version");
  check(cudaRuntimeGetVersion(&info.runtime_version), "asking for the runtime's version");
  return info;
}

CurrentDevice::CurrentDevice(int index) : index_(index) {
  check(cudaGetDevice(&before_), "asking which device is chosen");
  if (before_ != index_) {
    check(cudaSetDevice(index_), "choosing device " + std::to_string(index_));
  }
}

CurrentDevice::~CurrentDevice() {
  if (before_ != index_) cudaSetDevice(before_);
}

MemoryInfo memory_info(int index) {
  require_healthy();
  const CurrentDevice current(index);
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "asking for free memory");
  return {static_cast<std::int64_t>(free), static_cast<std::int64_t>(total)};
}

DeviceMemory::DeviceMemory(std::int64_t bytes, int device)
    : size_(std::max<std::int64_t>(bytes, 1)), device_(device) {
  const MemoryInfo memory = memory_info(device);
  if (size_ > memory.free_bytes) {
    throw DeviceMemoryError("needs " + std::to_string(size_) + " bytes of device memory; " +
                            std::to_string(memory.free_bytes) + " of " +
                            std::to_string(memory.total_bytes) +
                            " are free; use a smaller batch, or end what else runs on the GPU");
  }
  const CurrentDevice current(device);
  void* address = nullptr;
  check(cudaMalloc(&address, static_cast<std::size_t>(size_)),
        "taking " + std::to_string(size_) + " bytes");
  address_ = reinterpret_cast<std::uint64_t>(address);
}

DeviceMemory::~DeviceMemory() { cudaFree(pointer(address_)); }

void DeviceMemory::check_range(std::int64_t bytes, std::int64_t offset) const {
  if (bytes < 0 || offset < 0 || offset > size_ - bytes) {
    throw ShapeError("bytes " + std::to_string(offset) + " to " + std::to_string(offset + bytes) +
                     " do not lie within the " + std::to_string(size_) + " that were taken");
  }
}

void DeviceMemory::write(const void* from, std::int64_t bytes, std::int64_t offset) {
  check_range(bytes, offset);
  const CurrentDevice current(device_);
  check(cudaMemcpy(pointer(address_ + static_cast<std::uint64_t>(offset)), from,
                   static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice),
        "copying to the device");
  // From pageable memory the copy returns before it has arrived, and streams that do not wait for
  // the default one read it.
  check(cudaStreamSynchronize(cudaStreamLegacy), "copying to the device");
}

void DeviceMemory::read(void* to, std::int64_t bytes, std::int64_t offset) const {
  check_range(bytes, offset);
  const CurrentDevice current(device_);
  check(cudaMemcpy(to, pointer(address_ + static_cast<std::uint64_t>(offset)),
                   static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost),
        "copying from the device");
}

void DeviceMemory::repeat(std::int64_t bytes) {
  check_range(bytes, 0);
  const CurrentDevice current(device_);
  for (std::int64_t done = bytes; done > 0 && done < size_; done *= 2) {
    check(cudaMemcpy(pointer(address_ + static_cast<std::uint64_t>(done)), pointer(address_),
                     static_cast<std::size_t>(std::min(done, size_ - done)),
                     cudaMemcpyDeviceToDevice),
          "filling memory");
  }
  check(cudaDeviceSynchronize(), "filling memory");
}

}  // namespace alphaflops::cuda
