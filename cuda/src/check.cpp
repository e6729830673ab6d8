#include "check.hpp"

#include <cstddef>

namespace alphaflops::cuda {

namespace {

std::string text(cudaError_t code) {
  return std::string(cudaGetErrorString(code)) + " (" + cudaGetErrorName(code) + ")";
}

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

[[noreturn]] void raise_old_driver() {
  int driver = 0, runtime = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&runtime);
  if (driver == 0) {
    throw NoDeviceError(
        "no NVIDIA driver is installed, or it cannot be loaded (libcuda.so.1); install the driver "
        "of your GPU, or start the container with access to it (docker: --gpus all)");
  }
  throw DriverError("the NVIDIA driver supports CUDA " + version(driver) +
                    ", and this library was built with " + version(runtime) +
                    "; update the driver, or install the extra of your driver's version "
                    "(alphaflops[cuda12])");
}

/// Raises what keeps CUDA from starting at all, where the code is such.
void require_started(cudaError_t code) {
  switch (code) {
    case cudaErrorInsufficientDriver: raise_old_driver();
    case cudaErrorSystemDriverMismatch:
      throw DriverError(
          "the NVIDIA driver's library (libcuda.so.1) and the driver that runs are of different "
          "versions; restart the machine, or the container");
    case cudaErrorCompatNotSupportedOnDevice:
      throw DriverError(
          "the newer driver library of the package cuda-compat does not work on this GPU; take "
          "its folder out of LD_LIBRARY_PATH, or update the driver");
    case cudaErrorNoDevice:
      throw NoDeviceError(
          "no NVIDIA GPU is visible; look at nvidia-smi, and at CUDA_VISIBLE_DEVICES");
    case cudaErrorStubLibrary:
      throw NoDeviceError(
          "libcuda.so.1 is the toolkit's stub; put the driver's folder before it in "
          "LD_LIBRARY_PATH");
    case cudaErrorSystemNotReady:
      throw NoDeviceError(
          "the machine's GPUs are not ready; where NVSwitch joins them, the service "
          "nvidia-fabricmanager must run");
    case cudaErrorDevicesUnavailable:
      throw NoDeviceError(
          "the GPU is busy or may not be used; look at nvidia-smi for its compute mode and for "
          "who has it");
    default: break;
  }
}

/// Whether the context answers nothing but errors from now on: after a fault that the manual says
/// to end the process for, or where a question that reaches the device fails.
bool is_broken(cudaError_t code) {
  static_cast<void>(cudaGetLastError());  // clears what can be cleared
  switch (code) {
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorECCUncorrectable: return true;
    default: break;
  }
  std::size_t free = 0, total = 0;
  return cudaMemGetInfo(&free, &total) != cudaSuccess;
}

}  // namespace

void check(cudaError_t code, const std::string& doing) {
  require_started(code);
  switch (code) {
    case cudaSuccess: return;
    case cudaErrorMemoryAllocation:
      static_cast<void>(cudaGetLastError());
      throw DeviceMemoryError(doing + ": " + text(code) + "; use a smaller batch");
    case cudaErrorNoKernelImageForDevice:
      static_cast<void>(cudaGetLastError());
      throw UnsupportedError(doing +
                             ": the library has no machine code for this GPU; build it with "
                             "ALPHAFLOPS_CUDA_ARCHITECTURES naming it");
    default: break;
  }
  if (is_broken(code)) {
    throw BrokenContextError(doing + ": " + text(code) +
                             ". The process's CUDA context is broken and every later call in it "
                             "fails: start a new process");
  }
  throw DeviceError(doing + ": " + text(code));
}

void require_healthy() {
  // Starts the context; of an earlier fault it need not tell.
  cudaError_t code = cudaFree(nullptr);
  require_started(code);
  std::size_t free = 0, total = 0;
  if (code == cudaSuccess) code = cudaMemGetInfo(&free, &total);
  if (code == cudaSuccess) return;
  throw BrokenContextError("an earlier fault, " + text(code) +
                           ", was left in this process's CUDA context, so nothing can run in it: "
                           "start a new process");
}

}  // namespace alphaflops::cuda
