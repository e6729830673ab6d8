// Which instruction sets are compiled in and can run here.
#include "alphaflops/isa.hpp"

#include <cstdlib>
#include <string>

#include "alphaflops/error.hpp"

namespace alphaflops {

#ifndef ALPHAFLOPS_X86
#define ALPHAFLOPS_X86 0
#endif
#ifndef ALPHAFLOPS_NEON
#define ALPHAFLOPS_NEON 0
#endif

std::string_view to_string(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::neon: return "neon";
  }
  return "unknown";
}

Isa parse_isa(std::string_view name) {
  for (Isa isa : {Isa::scalar, Isa::avx2, Isa::avx512, Isa::neon}) {
    if (to_string(isa) == name) return isa;
  }
  throw UnsupportedError("isa '" + std::string(name) + "' is none of scalar, avx2, avx512, neon");
}

std::vector<Isa> available_isas() {
  std::vector<Isa> isas{Isa::scalar};
#if ALPHAFLOPS_X86
  // __builtin_cpu_supports also asks whether the operating system saves the wide registers.
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    isas.push_back(Isa::avx2);
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")) {
      isas.push_back(Isa::avx512);
    }
  }
#elif ALPHAFLOPS_NEON
  isas.push_back(Isa::neon);
#endif
  return isas;
}

std::vector<Isa> available_isas(DType dtype) {
  std::vector<Isa> isas = available_isas();
  if (dtype == DType::fp32) return isas;
  if (dtype != DType::bf16 && dtype != DType::int8) {
    throw UnsupportedError("no native kernels for dtype " + std::string(to_string(dtype)) +
                           "; there are for fp32, bf16 and int8");
  }
  bool extended = false;
#if ALPHAFLOPS_X86
  extended =
      isas.back() == Isa::avx512 && (dtype == DType::bf16 ? __builtin_cpu_supports("avx512bf16")
                                                          : __builtin_cpu_supports("avx512vnni"));
#endif
  return extended ? std::vector<Isa>{Isa::scalar, Isa::avx512} : std::vector<Isa>{Isa::scalar};
}

Isa best_isa() { return best_isa(DType::fp32); }

Isa best_isa(DType dtype) {
  const std::vector<Isa> isas = available_isas(dtype);
  const char* wanted = std::getenv("ALPHAFLOPS_ISA");
  if (wanted == nullptr || *wanted == '\0') return isas.back();
  std::string names;
  for (Isa isa : isas) {
    if (to_string(isa) == wanted) return isa;
    if (!names.empty()) names += ", ";
    names += to_string(isa);
  }
  throw UnsupportedError("ALPHAFLOPS_ISA=" + std::string(wanted) +
                         " is not available here; available: " + names);
}

}  // namespace alphaflops
