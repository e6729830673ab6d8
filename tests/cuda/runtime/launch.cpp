// Kernels by name, what a launch may ask for, and the launch itself.
#include <setjmp.h>

#include <csignal>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <set>

#include "../kernels.hpp"
#include "kernels/probe_params.cuh"
#include "library.hpp"
#include "state.hpp"

// One header's kernels, and one of them.
struct CUlib_st {
  const emulate::Header* header;
  std::map<std::string, std::unique_ptr<CUkern_st>> kernels;
};
struct CUkern_st {
  const emulate::Entry* entry;
  std::map<int, int> asked_bytes;  // of shared memory, by device
  mutable std::set<int> launched;  // devices

  int most_shared_bytes() const {
    const auto asked = asked_bytes.find(emulate::runtime::current_device());
    return asked == asked_bytes.end() ? 48 << 10 : asked->second;
  }
};

namespace emulate::runtime {

namespace {

sigjmp_buf* landing = nullptr;

void land(int signal) {
  if (landing != nullptr) siglongjmp(*landing, 1);
  std::signal(signal, SIG_DFL);  // not of a kernel
}

/// Runs it; false where it touched memory that is not there.
template <class F>
bool stays_within(const F& kernel) {
  struct sigaction own{}, before_segment{}, before_bus{};
  own.sa_handler = land;
  own.sa_flags = SA_NODEFER;
  sigaction(SIGSEGV, &own, &before_segment);
  sigaction(SIGBUS, &own, &before_bus);
  sigjmp_buf here;
  landing = &here;
  const bool first = sigsetjmp(here, 1) == 0;
  std::exception_ptr thrown;
  if (first) {
    try {
      kernel();
    } catch (...) {
      thrown = std::current_exception();
    }
  }
  landing = nullptr;
  sigaction(SIGSEGV, &before_segment, nullptr);
  sigaction(SIGBUS, &before_bus, nullptr);
  if (thrown) std::rethrow_exception(thrown);
  return first;
}

struct Call {
  const Entry* entry;
  Extents grid, block;
  std::size_t shared_bytes;
  unsigned cluster;
  std::vector<std::byte> parameters;

  double threads() const {
    double count = 1.0;
    for (const Extents* each : {&grid, &block}) {
      for (const unsigned extent : *each) count *= extent;
    }
    return count;
  }
};

void perform(const Call& call) {
  const double threads = call.threads();
  state().now_s += 2e-6 + threads * 4e-9 / sm_count;
  const auto most = setting("EMULATED_CUDA_MOST_THREADS", 0);
  if (most > 0 && threads > static_cast<double>(most)) return;
  const std::string& symbol = call.entry->symbol;
  try {
    if (!stays_within([&] {
          call.entry->run(call.grid, call.block, call.shared_bytes, call.parameters.data(),
                          call.cluster);
        })) {
      leave(cudaErrorIllegalAddress, symbol + " touched memory that is not there");
      return;
    }
  } catch (const std::exception& error) {
    leave(cudaErrorLaunchFailure, symbol + ": " + error.what());
    return;
  }
  if (const std::string where = overrun(); !where.empty()) {
    leave(cudaErrorIllegalAddress, symbol + " wrote to byte " + where);
  }
  if (symbol != "probe_block") return;
  alphaflops::cuda::BlockParams block{};
  std::memcpy(&block, call.parameters.data(), sizeof block);
  if (*static_cast<const volatile unsigned*>(block.flag) == 0) {
    leave(cudaErrorLaunchTimeout, "the host waited for a stream that it held back");
  }
}

/// What the manual asks of a launch.
cudaError_t check(const cudaLaunchConfig_t& config, const CUkern_st& kernel, unsigned cluster) {
  const dim3 grid = config.gridDim, block = config.blockDim;
  const unsigned long long threads = 1ULL * block.x * block.y * block.z;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || threads == 0) {
    return cudaErrorInvalidConfiguration;
  }
  if (grid.x > 0x7fffffffU || grid.y > 65535 || grid.z > 65535) {
    return cudaErrorInvalidConfiguration;
  }
  if (threads > 1024 || block.z > 64) return cudaErrorInvalidConfiguration;
  if (config.dynamicSmemBytes > static_cast<unsigned>(kernel.most_shared_bytes())) {
    return cudaErrorInvalidValue;
  }
  if (cluster > 1 && arch() < 90) return cudaErrorNotSupported;
  if (cluster > 8 || grid.x % cluster != 0) return cudaErrorInvalidClusterSize;
  return cudaSuccess;
}

CUkern_st* find_kernel(const void* kernel) {
  return state().kernels.contains(kernel) ? static_cast<CUkern_st*>(const_cast<void*>(kernel))
                                          : nullptr;
}

}  // namespace

}  // namespace emulate::runtime

namespace alphaflops::cuda {

/// In place of the machine code: tables of what the emulation runs.
std::span<const FatBinary> fat_binaries() {
  static const std::vector<FatBinary> all = [] {
    std::vector<FatBinary> tables;
    for (const emulate::Header& each : emulate::all_headers()) {
      tables.push_back({each.name, &each});
    }
    return tables;
  }();
  return all;
}

}  // namespace alphaflops::cuda

using namespace emulate::runtime;

cudaError_t cudaLibraryLoadData(cudaLibrary_t* library, const void* code, cudaJitOption*, void**,
                                unsigned, cudaLibraryOption*, void**, unsigned) {
  return call("cudaLibraryLoadData", Asks::context, [&] {
    *library = new CUlib_st{static_cast<const emulate::Header*>(code), {}};
    return cudaSuccess;
  });
}

cudaError_t cudaLibraryGetKernel(cudaKernel_t* kernel, cudaLibrary_t library, const char* name) {
  return call("cudaLibraryGetKernel", Asks::context, [&] {
    // Compiled to nothing elsewhere.
    if (std::strstr(name, "wgmma") != nullptr && arch() != 90) return cudaErrorSymbolNotFound;
    for (const emulate::Entry& each : library->header->kernels) {
      if (each.symbol != name) continue;
      auto& made = library->kernels[name];
      if (!made) made = std::make_unique<CUkern_st>(CUkern_st{&each, {}, {}});
      state().kernels.insert(made.get());
      *kernel = made.get();
      return cudaSuccess;
    }
    return cudaErrorSymbolNotFound;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call("cudaFuncGetAttributes", Asks::context, [&] {
    const CUkern_st* found = find_kernel(function);
    if (found == nullptr) return cudaErrorInvalidDeviceFunction;
    *attributes = {};
    attributes->maxThreadsPerBlock = 1024;
    attributes->maxDynamicSharedSizeBytes = 48 << 10;  // and not what was set for the kernel
    attributes->binaryVersion = arch();
    return cudaSuccess;
  });
}

cudaError_t cudaKernelSetAttributeForDevice(cudaKernel_t kernel, cudaFuncAttribute attribute,
                                            int value, int device) {
  return call("cudaKernelSetAttributeForDevice", Asks::context, [&] {
    if (find_kernel(kernel) == nullptr) return cudaErrorInvalidDeviceFunction;
    if (device < 0 || device >= device_count()) return cudaErrorInvalidDevice;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || value < 0 ||
        value > shared_bytes_at_most()) {
      return cudaErrorInvalidValue;
    }
    kernel->asked_bytes[device] = value;
    return cudaSuccess;
  });
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* config, const void* function,
                                void** arguments) {
  return call("cudaLaunchKernelExC", Asks::context, [&] {
    const CUkern_st* kernel = find_kernel(function);
    if (kernel == nullptr) return cudaErrorInvalidDeviceFunction;
    unsigned cluster = 1;
    for (unsigned i = 0; i < config->numAttrs; ++i) {
      const cudaLaunchAttribute& each = config->attrs[i];
      if (each.id == cudaLaunchAttributeClusterDimension) {
        cluster = each.val.clusterDim.x;
        if (each.val.clusterDim.y != 1 || each.val.clusterDim.z != 1) {
          return cudaErrorInvalidClusterSize;  // of the kernels here
        }
      } else if (each.id != cudaLaunchAttributeProgrammaticStreamSerialization) {
        return cudaErrorInvalidValue;
      }
    }
    if (const cudaError_t code = check(*config, *kernel, cluster); code != cudaSuccess) {
      return code;
    }
    // Memory that a kernel needs is mapped at its first launch, which may wait for all streams.
    if (captures() == 0 && kernel->launched.insert(current_device()).second) run_all();
    const auto* first = static_cast<const std::byte*>(arguments[0]);
    const dim3 grid = config->gridDim, block = config->blockDim;
    const Call call{kernel->entry,
                    {grid.x, grid.y, grid.z},
                    {block.x, block.y, block.z},
                    config->dynamicSmemBytes,
                    cluster,
                    {first, first + kernel->entry->parameter_bytes}};
    return enqueue(config->stream, [call] { perform(call); });
  });
}
