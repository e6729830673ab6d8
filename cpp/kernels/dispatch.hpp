// From an instruction set to its kernels.
#pragma once

#include "alphaflops/isa.hpp"
#include "tables.hpp"

namespace alphaflops::kernels {

/// Raises UnsupportedError where this machine cannot run `isa`.
const KernelTable& table(Isa isa);

}  // namespace alphaflops::kernels
