// The function tables of every instruction set that is compiled in.
#include "dispatch.hpp"

#include <algorithm>
#include <cstddef>
#include <string>

#include "alphaflops/error.hpp"

#ifndef ALPHAFLOPS_X86
#define ALPHAFLOPS_X86 0
#endif

namespace alphaflops::kernels {
namespace {

const KernelTable kTables[] = {
    {&conv_direct_scalar, &gemm_scalar, &conv_depthwise_scalar, &winograd_scalar, &stream_scalar,
     &probe_scalar},
#if ALPHAFLOPS_X86
    {&conv_direct_avx2, &gemm_avx2, &conv_depthwise_avx2, &winograd_avx2, &stream_avx2,
     &probe_avx2},
    {&conv_direct_avx512, &gemm_avx512, &conv_depthwise_avx512, &winograd_avx512, &stream_avx512,
     &probe_avx512},
#endif
};

}  // namespace

const KernelTable& table(Isa isa) {
  static const std::vector<Isa> available = available_isas();
  if (std::find(available.begin(), available.end(), isa) == available.end()) {
    std::string names;
    for (Isa each : available) names += (names.empty() ? "" : ", ") + std::string(to_string(each));
    throw UnsupportedError("isa " + std::string(to_string(isa)) +
                           " is not available here; available: " + names);
  }
  return kTables[static_cast<std::size_t>(isa)];
}

}  // namespace alphaflops::kernels
