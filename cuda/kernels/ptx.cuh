// Instructions that C++ has no name for. Fragment layouts: PTX ISA, "Matrix multiply-accumulate".
//
// A tile of 16 rows (8 for B) and 32 bytes of depth is the unit for every dtype: 8 tf32, 16 halves
// or 32 bytes. In units of four bytes, lane l holds of A the words (l/4, l%4), (l/4 + 8, l%4),
// (l/4, l%4 + 4), (l/4 + 8, l%4 + 4), of B (column l/4) the words l%4 and l%4 + 4, and of the
// result the elements (l/4, 2 (l%4) + {0, 1}) and the same 8 rows below.
#pragma once

#include "device.cuh"

#if defined(AF_EMULATED)
#include "../../tests/cuda/emulate_matrix.hpp"
#endif

namespace alphaflops::cuda {

// An address in shared memory as instructions take it.
#if defined(AF_EMULATED)
using SharedAddress = unsigned long long;
AF_DEVICE SharedAddress shared_address(const void* p) { return reinterpret_cast<SharedAddress>(p); }
#else
using SharedAddress = unsigned;
AF_DEVICE SharedAddress shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}
#endif

// ---- copies to shared memory that run while the thread goes on (sm_80) ----

// 16 bytes, or zeros where `valid` is false (`from` is then not read).
AF_DEVICE void copy_async_16(SharedAddress to, const void* from, bool valid) {
#if defined(AF_EMULATED)
  emulate::copy_async(reinterpret_cast<void*>(to), from, 16, valid ? 16 : 0);
#elif AF_ARCH >= 800
  asm volatile("cp.async.cg.shared.global.L2::128B [%0], [%1], 16, %2;" ::"r"(to), "l"(from),
               "r"(valid ? 16 : 0)
               : "memory");
#endif
}

AF_DEVICE void copy_async_commit() {
#if defined(AF_EMULATED)
  emulate::copy_commit();
#elif AF_ARCH >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Until at most `pending` of this thread's groups are under way.
template <int pending>
AF_DEVICE void copy_async_wait() {
#if defined(AF_EMULATED)
  emulate::copy_wait(pending);
#elif AF_ARCH >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

// ---- fragments ----

// Four 8 x 8 tiles of 16-bit elements: lane l gives the address of row l % 8 of tile l / 8, and
// gets word l % 4 of row l / 4 of each tile.
AF_DEVICE void load_matrices(unsigned (&to)[4], SharedAddress row) {
#if defined(AF_EMULATED)
  emulate::load_matrices(to, row, false);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
#endif
}

// The same of the transposed tiles: the 16-bit elements (2 (l % 4) + {0, 1}, l / 4).
AF_DEVICE void load_matrices_transposed(unsigned (&to)[4], SharedAddress row) {
#if defined(AF_EMULATED)
  emulate::load_matrices(to, row, true);
#else
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
               : "r"(row)
               : "memory");
#endif
}

AF_DEVICE unsigned load_word(SharedAddress at) {
#if defined(AF_EMULATED)
  return *reinterpret_cast<const unsigned*>(at);
#else
  unsigned word;
  asm volatile("ld.shared.b32 %0, [%1];" : "=r"(word) : "r"(at) : "memory");
  return word;
#endif
}

AF_DEVICE void store_word(SharedAddress at, unsigned word) {
#if defined(AF_EMULATED)
  emulate::store_word(at, word);
#else
  asm volatile("st.shared.b32 [%0], %1;" ::"r"(at), "r"(word) : "memory");
#endif
}

// Rounds fp32 to tf32, half away from zero. The matrix units drop the low 13 bits by themselves.
// The maximum keeps the NaN that arithmetic makes, 0x7fffffff, from carrying into the sign. Of
// others it does not: NaNs from 0xfffff000 on become 0, and those whose payload is within the low
// 13 bits infinite.
AF_DEVICE unsigned round_tf32(unsigned bits) {
  const int given = static_cast<int>(bits), rounded = static_cast<int>(bits + 0x1000u);
  const auto kept = static_cast<unsigned>(given > rounded ? given : rounded);
#if defined(AF_EMULATED)
  return kept & 0xffffe000u;
#else
  return kept;
#endif
}

#if !defined(AF_EMULATED)
#define AF_MMA(instruction, constraint)                                                        \
  asm("mma.sync.aligned." instruction                                                          \
      " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                       \
      : "+" constraint(d[0]), "+" constraint(d[1]), "+" constraint(d[2]), "+" constraint(d[3]) \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]))
#endif

struct Tf32 {};

// d += a b for 16 x 8 results and 32 bytes of depth.
template <class Element>
AF_DEVICE void multiply_add(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);

template <>
AF_DEVICE void multiply_add<half_t>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(AF_EMULATED)
  emulate::multiply_add<emulate::Half>(d, a, b);
#elif AF_ARCH >= 800
  AF_MMA("m16n8k16.row.col.f32.f16.f16.f32", "f");
#else  // half the depth an instruction
  AF_UNROLL
  for (int k = 0; k < 2; ++k) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[2 * k]), "r"(a[2 * k + 1]), "r"(b[k]));
  }
#endif
}

template <>
AF_DEVICE void multiply_add<bf16_t>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(AF_EMULATED)
  emulate::multiply_add<emulate::Bf16>(d, a, b);
#elif AF_ARCH >= 800
  AF_MMA("m16n8k16.row.col.f32.bf16.bf16.f32", "f");
#endif
}

template <>
AF_DEVICE void multiply_add<Tf32>(float (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(AF_EMULATED)
  emulate::multiply_add<float>(d, a, b);
#elif AF_ARCH >= 800
  AF_MMA("m16n8k8.row.col.f32.tf32.tf32.f32", "f");
#endif
}

AF_DEVICE void multiply_add(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
#if defined(AF_EMULATED)
  emulate::multiply_add<signed char>(d, a, b);
#elif AF_ARCH >= 800
  AF_MMA("m16n8k32.row.col.s32.s8.s8.s32", "r");
#else  // 8 rows and half the depth an instruction
  AF_UNROLL
  for (int k = 0; k < 2; ++k) {
    AF_UNROLL
    for (int half = 0; half < 2; ++half) {
      asm("mma.sync.aligned.m8n8k16.row.col.s32.s8.s8.s32 {%0, %1}, {%2}, {%3}, {%0, %1};"
          : "+r"(d[2 * half]), "+r"(d[2 * half + 1])
          : "r"(a[2 * k + half]), "r"(b[k]));
    }
  }
#endif
}

#undef AF_MMA

}  // namespace alphaflops::cuda
