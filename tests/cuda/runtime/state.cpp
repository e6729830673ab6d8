#include "state.hpp"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace emulate::runtime {

State& state() {
  static auto* all = new State;  // outlives whatever lets go of memory at the end
  return *all;
}

long long setting(const char* name, long long otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr || *text == '\0' ? otherwise : std::atoll(text);
}

int shared_bytes_at_most() {
  switch (arch()) {
    case 75: return 64 << 10;
    case 80: return 163 << 10;
    case 86:
    case 89: return 99 << 10;
    default: return 227 << 10;
  }
}

int& current_device() {
  static thread_local int device = 0;
  return device;
}

int& captures() {
  static thread_local int count = 0;
  return count;
}

void leave(cudaError_t fault, const std::string& why) {
  std::fprintf(stderr, "made-up CUDA: %s\n", why.c_str());
  if (state().left == cudaSuccess) state().left = fault;
}

namespace {

bool stays(cudaError_t code) {
  switch (code) {
    case cudaErrorECCUncorrectable:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure: return true;
    default: return false;
  }
}

cudaError_t& last_error() {
  static thread_local cudaError_t code = cudaSuccess;
  return code;
}

/// What EMULATED_CUDA_FAULT says of this call; calls count from when it was said.
cudaError_t wanted_fault(const std::string& function) {
  const char* text = std::getenv("EMULATED_CUDA_FAULT");
  if (text == nullptr) text = "";
  if (state().faults != text) state().calls.clear(), state().faults = text;
  const int number = ++state().calls[function];
  std::istringstream all(text);
  for (std::string each; std::getline(all, each, ',');) {
    const auto equals = each.find('='), at = each.find('@');
    if (equals == std::string::npos || each.substr(0, equals) != function) continue;
    if (at != std::string::npos && std::atoi(each.c_str() + at + 1) != number) continue;
    return static_cast<cudaError_t>(std::atoi(each.c_str() + equals + 1));
  }
  return cudaSuccess;
}

cudaError_t without_driver(Asks asks) {
  if (asks == Asks::nothing) return cudaSuccess;
  if (setting("EMULATED_CUDA_DRIVER", CUDART_VERSION) < CUDART_VERSION / 1000 * 1000) {
    return cudaErrorInsufficientDriver;
  }
  return device_count() == 0 ? cudaErrorNoDevice : cudaSuccess;
}

}  // namespace

cudaError_t call(const char* function, Asks asks, const std::function<cudaError_t()>& body) {
  const std::scoped_lock lock(state().mutex);
  cudaError_t code = wanted_fault(function);
  if (stays(code)) leave(code, std::string("asked for by EMULATED_CUDA_FAULT at ") + function);
  if (code == cudaSuccess) code = without_driver(asks);
  if (code == cudaSuccess && asks == Asks::context) code = state().left;
  if (code == cudaSuccess) code = body();
  // Faults of work that ran meanwhile.
  if (code == cudaSuccess && asks == Asks::context) code = state().left;
  if (code != cudaSuccess && code != cudaErrorNotReady) last_error() = code;
  return code;
}

}  // namespace emulate::runtime

using namespace emulate::runtime;

cudaError_t cudaGetLastError() {
  const cudaError_t code = last_error();
  if (!stays(code)) last_error() = cudaSuccess;
  return code;
}

const char* cudaGetErrorName(cudaError_t code) {
  switch (code) {
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    default: return "cudaError";
  }
}

const char* cudaGetErrorString(cudaError_t code) {
  static thread_local std::string text;
  text = "made-up error " + std::to_string(static_cast<int>(code));
  return text.c_str();
}

cudaError_t cudaDriverGetVersion(int* version) {
  return call("cudaDriverGetVersion", Asks::nothing, [&] {
    *version = static_cast<int>(setting("EMULATED_CUDA_DRIVER", CUDART_VERSION));
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  return call("cudaRuntimeGetVersion", Asks::nothing, [&] {
    *version = CUDART_VERSION;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceCount(int* count) {
  return call("cudaGetDeviceCount", Asks::driver, [&] {
    *count = device_count();
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return call("cudaGetDevice", Asks::driver, [&] {
    *device = current_device();
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return call("cudaSetDevice", Asks::context, [&] {
    if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
    current_device() = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return call("cudaGetDeviceProperties", Asks::driver, [&] {
    if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
    *properties = {};
    std::snprintf(properties->name, sizeof properties->name, "Made-up GPU sm_%d", arch());
    properties->major = arch() / 10, properties->minor = arch() % 10;
    properties->multiProcessorCount = sm_count;
    properties->sharedMemPerBlock = 48 << 10;
    properties->sharedMemPerBlockOptin = static_cast<std::size_t>(shared_bytes_at_most());
    properties->l2CacheSize = 256 << 10;
    properties->totalGlobalMem = memory_bytes();
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return call("cudaDeviceGetAttribute", Asks::driver, [&] {
    if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
    if (attribute != cudaDevAttrClockRate) return cudaErrorInvalidValue;  // no other is asked for
    *value = 1'500'000;                                                   // kHz
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetPCIBusId(char* bus, int length, int device) {
  return call("cudaDeviceGetPCIBusId", Asks::driver, [&] {
    if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
    if (length < 13) return cudaErrorInvalidValue;
    std::snprintf(bus, static_cast<std::size_t>(length), "0000:%02x:00.0", device + 1);
    return cudaSuccess;
  });
}
