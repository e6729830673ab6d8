// From an instruction set to its kernels.
#pragma once

#include "alphaflops/isa.hpp"
#include "cost_table.hpp"
#include "population_table.hpp"
#include "tables.hpp"

namespace alphaflops::kernels {

/// Raises UnsupportedError where this machine cannot run `isa`.
const KernelTable& table(Isa isa);
const CostTable& cost_table(Isa isa);
/// Null for an instruction set that has none.
const PopulationTable* population_table(Isa isa);

/// The same of a narrow type, for which an instruction set may be missing or need an extension.
const NarrowTable<Bf16Word, float>& bf16_table(Isa isa);
const NarrowTable<Int8Word, std::int32_t>& int8_table(Isa isa);

}  // namespace alphaflops::kernels
