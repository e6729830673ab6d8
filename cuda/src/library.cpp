#include "library.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>

#include "check.hpp"

namespace alphaflops::cuda {

namespace {

cudaLibrary_t load(const std::string& header) {
  const auto all = fat_binaries();
  const auto found = std::ranges::find(all, header, &FatBinary::header);
  if (found == all.end()) {
    throw UnsupportedError("the kernels of " + header + " were not compiled into this library");
  }
  cudaLibrary_t library{};
  check(cudaLibraryLoadData(&library, found->code, nullptr, nullptr, 0, nullptr, nullptr, 0),
        "loading the kernels of " + header);
  return library;
}

}  // namespace

cudaKernel_t kernel(const std::string& header, const std::string& symbol) {
  static std::mutex mutex;
  static std::map<std::string, cudaLibrary_t> libraries;
  static std::map<std::string, cudaKernel_t> kernels;
  const std::scoped_lock lock(mutex);
  if (const auto known = kernels.find(symbol); known != kernels.end()) return known->second;
  auto library = libraries.find(header);
  if (library == libraries.end()) library = libraries.emplace(header, load(header)).first;
  cudaKernel_t found{};
  const cudaError_t code = cudaLibraryGetKernel(&found, library->second, symbol.c_str());
  if (code == cudaErrorSymbolNotFound) {
    static_cast<void>(cudaGetLastError());
    throw UnsupportedError(symbol + " of " + header + " was not compiled for this GPU");
  }
  check(code, "looking for " + symbol);
  return kernels.emplace(symbol, found).first->second;
}

}  // namespace alphaflops::cuda
