// Probes: the fp32 multiply-add pipe, memory and L2 bandwidth, a launch that does nothing, the
// flush of the L2, and the kernel that holds a stream back until the host lets it go.
#pragma once

#include "device.cuh"
#include "probe_params.cuh"

namespace alphaflops::cuda {

// sum = sum * factor + addend, in chains that do not wait for one another.
AF_KERNEL void __launch_bounds__(probe_threads) probe_fma_fp32(AF_PARAM FmaParams p) {
  const unsigned thread = blockIdx.x * probe_threads + threadIdx.x;
  float sum[fma_chains];
  AF_UNROLL
  for (int i = 0; i < fma_chains; ++i)
    sum[i] = static_cast<float>(i) + static_cast<float>(threadIdx.x);
  AF_NO_UNROLL
  for (int n = 0; n < p.iterations; ++n) {
    AF_UNROLL
    for (int step = 0; step < fma_steps; ++step) {
      AF_UNROLL
      for (int i = 0; i < fma_chains; ++i) sum[i] = fmaf(sum[i], p.factor, p.addend);
    }
  }
  float total = 0.0f;
  AF_UNROLL
  for (int i = 0; i < fma_chains; ++i) total += sum[i];
  static_cast<float*>(p.output)[thread] = total;
}

// `unroll` accesses of a thread on their way together.
template <int unroll>
AF_DEVICE void probe_copy(const CopyProbeParams& p) {
  const long long first =
      static_cast<long long>(blockIdx.x) * (probe_threads * unroll) + threadIdx.x;
  const uint4* input = static_cast<const uint4*>(p.input);
  uint4* output = static_cast<uint4*>(p.output);
  uint4 moved[unroll];
  AF_UNROLL
  for (int i = 0; i < unroll; ++i) {
    if (first + i * probe_threads < p.packs) moved[i] = input[first + i * probe_threads];
  }
  AF_UNROLL
  for (int i = 0; i < unroll; ++i) {
    if (first + i * probe_threads < p.packs) output[first + i * probe_threads] = moved[i];
  }
  if (blockIdx.x == 0 && static_cast<int>(threadIdx.x) < p.tail_bytes) {
    const long long at = p.packs * 16 + threadIdx.x;
    static_cast<unsigned char*>(p.output)[at] = static_cast<const unsigned char*>(p.input)[at];
  }
}

AF_KERNEL void __launch_bounds__(probe_threads) probe_copy_1(AF_PARAM CopyProbeParams p) {
  probe_copy<1>(p);
}
AF_KERNEL void __launch_bounds__(probe_threads) probe_copy_4(AF_PARAM CopyProbeParams p) {
  probe_copy<4>(p);
}
AF_KERNEL void __launch_bounds__(probe_threads) probe_copy_8(AF_PARAM CopyProbeParams p) {
  probe_copy<8>(p);
}

// From the L2 each time: not kept in the L1, and not moved out of the loop.
AF_DEVICE uint4 load_from_l2(const uint4* from) {
#if defined(AF_EMULATED)
  return *from;
#else
  uint4 x;
  asm volatile("ld.global.cg.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(x.x), "=r"(x.y), "=r"(x.z), "=r"(x.w)
               : "l"(from));
  return x;
#endif
}

AF_KERNEL void __launch_bounds__(probe_threads) probe_read(AF_PARAM ReadProbeParams p) {
  constexpr int unroll = 4;
  const int thread = static_cast<int>(blockIdx.x * probe_threads + threadIdx.x);
  const int threads = static_cast<int>(gridDim.x) * probe_threads;
  const uint4* input = static_cast<const uint4*>(p.input);
  unsigned sum = 0;
  for (int repeat = 0; repeat < p.repeats; ++repeat) {
    int at = thread;
    for (; at < p.packs - (unroll - 1) * threads; at += unroll * threads) {
      uint4 x[unroll];
      AF_UNROLL
      for (int i = 0; i < unroll; ++i) x[i] = load_from_l2(input + at + i * threads);
      AF_UNROLL
      for (int i = 0; i < unroll; ++i) sum += x[i].x + x[i].y + x[i].z + x[i].w;
    }
    for (; at < p.packs; at += threads) {
      const uint4 x = load_from_l2(input + at);
      sum += x.x + x.y + x.z + x.w;
    }
  }
  static_cast<unsigned*>(p.output)[thread] = sum;
}

AF_KERNEL void __launch_bounds__(probe_threads) probe_flush(AF_PARAM FlushParams p) {
  const long long step = static_cast<long long>(gridDim.x) * probe_threads;
  for (long long at = static_cast<long long>(blockIdx.x) * probe_threads + threadIdx.x;
       at < p.packs; at += step) {
    static_cast<uint4*>(p.output)[at] = make_uint4(0, 0, 0, 0);
  }
}

AF_KERNEL void __launch_bounds__(32) probe_empty(AF_PARAM EmptyParams p) { static_cast<void>(p); }

AF_DEVICE long long now_ns() {
#if defined(AF_EMULATED)
  return emulate::now_ns();
#else
  long long now;
  asm volatile("mov.u64 %0, %%globaltimer;" : "=l"(now));
  return now;
#endif
}

// One thread waits for the host's word, for so long at most: the device never hangs.
AF_KERNEL void __launch_bounds__(32) probe_block(AF_PARAM BlockParams p) {
  const volatile unsigned* flag = static_cast<const volatile unsigned*>(p.flag);
  const long long end = now_ns() + p.timeout_ns;
  while (*flag == 0 && now_ns() < end) {
#if !defined(AF_EMULATED)
    __nanosleep(200);
#endif
  }
}

}  // namespace alphaflops::cuda
