// Makes the compiler forget where a pointer came from.
//
// GCC would otherwise compute a tile's addresses and load its arguments ahead of the loops, run out
// of general registers, park them in vector ones and then spill accumulators.
#pragma once

namespace alphaflops::kernels {
namespace {

template <class T>
AF_INLINE void hide(T*& p) {
  asm volatile("" : "+r"(p));
}

}  // namespace
}  // namespace alphaflops::kernels
