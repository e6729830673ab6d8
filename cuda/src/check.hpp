// Turns codes of the CUDA runtime into typed errors, and tells faults that stay from those that go.
#pragma once

#include <cuda_runtime_api.h>

#include <string>

#include "error.hpp"

namespace alphaflops::cuda {

/// Raises what `code` means; `doing` says what failed, as in "copying 12 bytes".
void check(cudaError_t code, const std::string& doing);

/// Raises BrokenContextError where a fault of earlier work, ours or another library's, is left in
/// the process's context; every call from then on would fail for it.
void require_healthy();

}  // namespace alphaflops::cuda
