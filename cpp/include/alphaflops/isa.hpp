// The instruction sets the native kernels are built for, and which of them this machine can run.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "alphaflops/dtype.hpp"

namespace alphaflops {

enum class Isa : std::uint8_t { scalar, avx2, avx512, neon };

/// Those compiled in that the processor and the operating system support, ascending.
std::vector<Isa> available_isas();

/// The last of `available_isas()`, or what the environment variable ALPHAFLOPS_ISA names.
/// Raises UnsupportedError where that is not available.
Isa best_isa();

/// The same for convolutions of a dtype: bf16 and int8 have scalar and, where the processor has
/// AVX512_BF16 or AVX512_VNNI, avx512. Raises UnsupportedError for a dtype without native kernels.
std::vector<Isa> available_isas(DType dtype);
Isa best_isa(DType dtype);

std::string_view to_string(Isa isa);

/// Raises UnsupportedError for a name that is none of scalar, avx2, avx512, neon.
Isa parse_isa(std::string_view name);

}  // namespace alphaflops
