// The rate of wgmma (sm_90a): a warpgroup's products of operands in shared memory.
#pragma once

#include "probe_operand.cuh"
#include "probe_params.cuh"
#include "ptx.cuh"

#if defined(AF_EMULATED) || (AF_ARCH == 900 && defined(__CUDA_ARCH_FEAT_SM90_ALL))

namespace alphaflops::cuda {

// A matrix in shared memory as wgmma takes it, without swizzle: blocks of 8 rows of 16 bytes, the
// two along the depth 128 bytes apart, the next 8 rows 256 (PTX ISA, "Matrix descriptor format").
AF_DEVICE unsigned long long probe_descriptor(SharedAddress at) {
  return ((static_cast<unsigned long long>(at) & 0x3ffff) >> 4) | (128ull >> 4) << 16 |
         (256ull >> 4) << 32;
}

#if defined(AF_EMULATED)
// Its results are of no interest: only that the kernel runs.
#define AF_WGMMA(instruction, c, scales) \
  static_cast<void>(a), static_cast<void>(b), static_cast<void>(d[0] += 1)
#define AF_WGMMA_ORDER(what) static_cast<void>(0)
#else
#define AF_WGMMA_ORDER(what) asm volatile(what ".sync.aligned;" ::: "memory")
#define AF_SUMS_4(c, i) "+" c(d[i]), "+" c(d[i + 1]), "+" c(d[i + 2]), "+" c(d[i + 3])
#define AF_SUMS_16(c, i) \
  AF_SUMS_4(c, i), AF_SUMS_4(c, i + 4), AF_SUMS_4(c, i + 8), AF_SUMS_4(c, i + 12)
#define AF_SUMS_64(c) AF_SUMS_16(c, 0), AF_SUMS_16(c, 16), AF_SUMS_16(c, 32), AF_SUMS_16(c, 48)
#define AF_WGMMA(instruction, c, scales)                                                 \
  asm volatile(                                                                          \
      "{.reg .pred add; setp.ne.b32 add, 1, 0; "                                         \
      "wgmma.mma_async.sync.aligned.m64n128" instruction                                 \
      " {"                                                                               \
      "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "           \
      "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
      "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
      "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"   \
      "}, %64, %65, add" scales ";}"                                                     \
      : AF_SUMS_64(c)                                                                    \
      : "l"(a), "l"(b))
#endif

#define AF_PROBE_WGMMA(dtype, Element, Sum, instruction, c, scales)                             \
  AF_KERNEL void __launch_bounds__(wgmma_threads) probe_wgmma_##dtype(AF_PARAM FmaParams p) {   \
    unsigned* words = static_cast<unsigned*>(af_dynamic_shared());                              \
    constexpr int slice = (probe_rows + probe_columns) * 8;                                     \
    for (int i = static_cast<int>(threadIdx.x); i < slice * wgmma_slices; i += wgmma_threads) { \
      words[i] = probe_operand<Element>(static_cast<unsigned>(i));                              \
    }                                                                                           \
    fence_shared();                                                                             \
    __syncthreads();                                                                            \
    Sum d[64] = {};                                                                             \
    AF_NO_UNROLL                                                                                \
    for (int n = 0; n < p.iterations; ++n) {                                                    \
      AF_WGMMA_ORDER("wgmma.fence");                                                            \
      AF_UNROLL                                                                                 \
      for (int step = 0; step < wgmma_steps; ++step) {                                          \
        const unsigned* at = words + step % wgmma_slices * slice;                               \
        const unsigned long long a = probe_descriptor(shared_address(at));                      \
        const unsigned long long b = probe_descriptor(shared_address(at + probe_rows * 8));     \
        AF_WGMMA(instruction, c, scales);                                                       \
      }                                                                                         \
      AF_WGMMA_ORDER("wgmma.commit_group");                                                     \
      wait_for_group();                                                                         \
    }                                                                                           \
    Sum total{};                                                                                \
    AF_UNROLL                                                                                   \
    for (int i = 0; i < 64; ++i) total += d[i];                                                 \
    static_cast<Sum*>(p.output)[blockIdx.x * wgmma_threads + threadIdx.x] = total;              \
  }

// What was stored to shared memory, before the matrix units read it.
AF_DEVICE void fence_shared() {
#if !defined(AF_EMULATED)
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

AF_DEVICE void wait_for_group() {
#if !defined(AF_EMULATED)
  asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
#endif
}

AF_PROBE_WGMMA(fp16, half_t, float, "k16.f32.f16.f16", "f", ", 1, 1, 0, 0")
AF_PROBE_WGMMA(bf16, bf16_t, float, "k16.f32.bf16.bf16", "f", ", 1, 1, 0, 0")
AF_PROBE_WGMMA(tf32, float, float, "k8.f32.tf32.tf32", "f", ", 1, 1")
AF_PROBE_WGMMA(int8, signed char, int, "k32.s32.s8.s8", "r", "")
#undef AF_PROBE_WGMMA
#undef AF_WGMMA
#undef AF_WGMMA_ORDER
#undef AF_SUMS_64
#undef AF_SUMS_16
#undef AF_SUMS_4

}  // namespace alphaflops::cuda

#endif
