// What can be wrong with a GPU. The messages name the remedy.
#pragma once

#include "alphaflops/error.hpp"

namespace alphaflops::cuda {

/// Base of the errors of a device.
struct DeviceError : Error {
  using Error::Error;
};

/// No GPU, or no driver.
struct NoDeviceError : DeviceError {
  using DeviceError::DeviceError;
};

/// The driver is older than what this library was built with.
struct DriverError : DeviceError {
  using DeviceError::DeviceError;
};

/// The device's memory does not suffice.
struct DeviceMemoryError : DeviceError {
  using DeviceError::DeviceError;
};

/// An earlier fault has broken the process's context: only a new process helps.
struct BrokenContextError : DeviceError {
  using DeviceError::DeviceError;
};

}  // namespace alphaflops::cuda
