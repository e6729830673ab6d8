// What conv_turn_weights.cuh takes. Host code reads this file too.
#pragma once

namespace alphaflops::cuda {

inline constexpr int turn_tile = 32, turn_rows = 8;

// Blocks: x = tile of c_in, y = tile of c_out, z = group * taps + tap. Channels are of a group.
struct ConvTurnWeightsParams {
  const void* input;
  void* output;
  int c_in, c_out, taps;
};

}  // namespace alphaflops::cuda
