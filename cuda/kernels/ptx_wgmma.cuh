// wgmma: the product of 64 rows and n columns by 128 threads, both operands in shared memory.
//
// Thread t holds of the result rows 16 (t / 32) + (t % 32) / 4 and the one 8 below, and columns
// 8 j + 2 (t % 4) + {0, 1}: element 4 j + 2 * below + {0, 1}.
#pragma once

#include "ptx_hopper.cuh"

namespace alphaflops::cuda {

#if !defined(AF_EMULATED)
#define AF_SUMS_4(c, i) "+" c(d[i]), "+" c(d[i + 1]), "+" c(d[i + 2]), "+" c(d[i + 3])
#define AF_SUMS_16(c, i) \
  AF_SUMS_4(c, i), AF_SUMS_4(c, i + 4), AF_SUMS_4(c, i + 8), AF_SUMS_4(c, i + 12)
#define AF_SUMS_32(c) AF_SUMS_16(c, 0), AF_SUMS_16(c, 16)
#define AF_SUMS_64(c) AF_SUMS_32(c), AF_SUMS_16(c, 32), AF_SUMS_16(c, 48)
#define AF_SUMS_128(c) \
  AF_SUMS_64(c), AF_SUMS_16(c, 64), AF_SUMS_16(c, 80), AF_SUMS_16(c, 96), AF_SUMS_16(c, 112)
#define AF_NAMES_32                                                        \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define AF_DESCRIPTORS_32 "%32, %33"
#define AF_ADDS_32 "%34"
#define AF_NAMES_64                                                                  \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define AF_DESCRIPTORS_64 "%64, %65"
#define AF_ADDS_64 "%66"
#define AF_NAMES_128                                                                             \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                       \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
  "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
  "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
  "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
  "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
  "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
#define AF_DESCRIPTORS_128 "%128, %129"
#define AF_ADDS_128 "%130"

// `tail`: neither operand is negated or turned. Without `adds`, what the sums were is not read.
#define AF_WGMMA(count, shape, types, constraint, tail)                              \
  asm volatile("{\n.reg .pred add;\nsetp.ne.b32 add, " AF_ADDS_##count               \
               ", 0;\n"                                                              \
               "wgmma.mma_async.sync.aligned." shape "." types " {" AF_NAMES_##count \
               "}, " AF_DESCRIPTORS_##count ", add" tail ";\n}"                      \
               : AF_SUMS_##count(constraint)                                         \
               : "l"(a), "l"(b), "r"(adds))

#define AF_WGMMA_OF(Element, Sum, k, types, constraint, tail)                   \
  AF_DEVICE void multiply_tiles_64(Element, Sum(&d)[32], unsigned long long a,  \
                                   unsigned long long b, int adds) {            \
    AF_WGMMA(32, "m64n64k" k, types, constraint, tail);                         \
  }                                                                             \
  AF_DEVICE void multiply_tiles_64(Element, Sum(&d)[64], unsigned long long a,  \
                                   unsigned long long b, int adds) {            \
    AF_WGMMA(64, "m64n128k" k, types, constraint, tail);                        \
  }                                                                             \
  AF_DEVICE void multiply_tiles_64(Element, Sum(&d)[128], unsigned long long a, \
                                   unsigned long long b, int adds) {            \
    AF_WGMMA(128, "m64n256k" k, types, constraint, tail);                       \
  }
#else
#define AF_WGMMA_OF(Element, Sum, k, types, constraint, tail)                                 \
  template <int count>                                                                        \
  void multiply_tiles_64(Element, Sum(&d)[count], unsigned long long a, unsigned long long b, \
                         int adds) {                                                          \
    emulate::multiply_tiles_64<emulate::Element##Bits>(d, a, b, adds != 0);                   \
  }
#endif

// 32 bytes of depth.
AF_WGMMA_OF(half_t, float, "16", "f32.f16.f16", "f", ", 1, 1, 0, 0")
AF_WGMMA_OF(bf16_t, float, "16", "f32.bf16.bf16", "f", ", 1, 1, 0, 0")
AF_WGMMA_OF(Tf32, float, "8", "f32.tf32.tf32", "f", ", 1, 1")
using Int8 = signed char;
AF_WGMMA_OF(Int8, int, "32", "s32.s8.s8", "r", "")

#undef AF_WGMMA_OF

}  // namespace alphaflops::cuda
