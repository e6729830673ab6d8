// The function tables of every instruction set that is compiled in.
#include "dispatch.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"

#ifndef ALPHAFLOPS_X86
#define ALPHAFLOPS_X86 0
#endif
#ifndef ALPHAFLOPS_NEON
#define ALPHAFLOPS_NEON 0
#endif

namespace alphaflops::kernels {
namespace {

const KernelTable kTables[] = {
    // as Isa counts them
    {&conv_direct_scalar, &gemm_scalar, &conv_depthwise_scalar, nullptr, &winograd_scalar,
     &stream_scalar, &transpose_scalar, &probe_scalar},
#if ALPHAFLOPS_X86
    {&conv_direct_avx2, &gemm_avx2, &conv_depthwise_avx2, &conv_grouped_avx2, &winograd_avx2,
     &stream_avx2, &transpose_avx2, &probe_avx2},
    {&conv_direct_avx512, &gemm_avx512, &conv_depthwise_avx512, &conv_grouped_avx512,
     &winograd_avx512, &stream_avx512, &transpose_avx512, &probe_avx512},
#elif ALPHAFLOPS_NEON
    {},
    {},
    {&conv_direct_neon, &gemm_neon, &conv_depthwise_neon, &conv_grouped_neon, &winograd_neon,
     &stream_neon, &transpose_neon, &probe_neon},
#endif
};

const CostTable* const kCostTables[] = {
    &cost_scalar,
#if ALPHAFLOPS_X86
    &cost_avx2,
    &cost_avx512,
#elif ALPHAFLOPS_NEON
    nullptr,
    nullptr,
    &cost_neon,
#endif
};

void check_available(Isa isa, const std::vector<Isa>& available, DType dtype) {
  if (std::find(available.begin(), available.end(), isa) != available.end()) return;
  std::string names;
  for (Isa each : available) names += (names.empty() ? "" : ", ") + std::string(to_string(each));
  const std::string what = dtype == DType::fp32 ? "" : " for " + std::string(to_string(dtype));
  throw UnsupportedError("isa " + std::string(to_string(isa)) + what +
                         " is not on this processor; available: " + names);
}

}  // namespace

const KernelTable& table(Isa isa) {
  static const std::vector<Isa> available = available_isas();
  check_available(isa, available, DType::fp32);
  return kTables[static_cast<std::size_t>(isa)];
}

const CostTable& cost_table(Isa isa) {
  check_available(isa, available_isas(), DType::fp32);
  return *kCostTables[static_cast<std::size_t>(isa)];
}

const PopulationTable* population_table(Isa isa) {
#if ALPHAFLOPS_X86
  if (isa == Isa::avx512) return &population_avx512;
#endif
  static_cast<void>(isa);
  return nullptr;
}

const NarrowTable<Bf16Word, float>& bf16_table(Isa isa) {
  static const std::vector<Isa> available = available_isas(DType::bf16);
  check_available(isa, available, DType::bf16);
#if ALPHAFLOPS_X86
  if (isa == Isa::avx512) return conv_bf16_avx512;
#endif
  return conv_bf16_scalar;
}

const NarrowTable<Int8Word, std::int32_t>& int8_table(Isa isa) {
  static const std::vector<Isa> available = available_isas(DType::int8);
  check_available(isa, available, DType::int8);
#if ALPHAFLOPS_X86
  if (isa == Isa::avx512) return conv_int8_avx512;
#endif
  return conv_int8_scalar;
}

}  // namespace alphaflops::kernels
