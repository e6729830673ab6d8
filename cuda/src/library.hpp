// The machine code that was compiled in, one fat binary a header, and its kernels by name.
#pragma once

#include <cuda_runtime_api.h>

#include <span>
#include <string>
#include <string_view>

namespace alphaflops::cuda {

struct FatBinary {
  std::string_view header;  // the file of cuda/kernels that it was compiled from
  const void* code;
};

/// Written by the build (cmake/cuda_fatbins.cmake).
std::span<const FatBinary> fat_binaries();

/// Loads the header's code when it is first asked for. Raises UnsupportedError where the header or
/// the symbol was not compiled in. Thread-safe.
cudaKernel_t kernel(const std::string& header, const std::string& symbol);

}  // namespace alphaflops::cuda
