// Copies rows of a few channels, such as an image's, and puts zeros behind each, so that it fills
// pieces of 16 bytes. A thread has a piece.
#pragma once

#include "conv_pad_params.cuh"
#include "device.cuh"

namespace alphaflops::cuda {

template <class Unit>
AF_DEVICE void conv_pad(const ConvPadParams& p) {
  constexpr int width = 16 / static_cast<int>(sizeof(Unit));
  const long long first = static_cast<long long>(blockIdx.x) * pad_threads;
  if (first + threadIdx.x >= p.pieces) return;
  const Split at = split(first, threadIdx.x, p.by_row_pieces);
  const int channel = static_cast<int>(at.remainder) * width;
  const Unit* from = static_cast<const Unit*>(p.input) +
                     static_cast<long long>(at.quotient) * p.channels + channel;
  Pack<Unit, width> piece{};
  AF_UNROLL
  for (int k = 0; k < width; ++k) {
    if (k < p.channels - channel) piece.element[k] = from[k];
  }
  store<Unit, width>(static_cast<Unit*>(p.output) + (first + threadIdx.x) * width, piece);
}

#define AF_CONV_PAD(name, Unit)                                                             \
  AF_KERNEL void __launch_bounds__(pad_threads) conv_pad_##name(AF_PARAM ConvPadParams p) { \
    conv_pad<Unit>(p);                                                                      \
  }
AF_CONV_PAD(b4, unsigned)
AF_CONV_PAD(b2, unsigned short)
AF_CONV_PAD(b1, unsigned char)
#undef AF_CONV_PAD

}  // namespace alphaflops::cuda
