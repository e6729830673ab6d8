// Peak of the dot products that narrow matrix kernels are made of, from registers.
#pragma once

namespace alphaflops::kernels {
namespace {

double peak_dot(std::int64_t iterations, Acc* sink) {
  constexpr int kChains = 12;
  constexpr int kUnroll = 8;
  Word words[kLanes] = {};
  Vec acc[kChains];
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) acc[i] = splat(sink[0]);
  Operand w = load_operand(words);
  Operand x = broadcast(words);
  hide_operand(w);  // products with a known zero would not be formed at all
  for (std::int64_t n = 0; n < iterations; ++n) {
#pragma GCC unroll 8
    for (int u = 0; u < kUnroll; ++u) {
#pragma GCC unroll 12
      for (int i = 0; i < kChains; ++i) {
        hide_operand(x);  // a product of the same two numbers would be formed once
        fma_into(acc[i], w, x);
      }
    }
  }
  Vec sum = acc[0];
#pragma GCC unroll 12
  for (int i = 1; i < kChains; ++i) sum = add(sum, acc[i]);
  sink[0] = sum_lanes(sum);
  return 2.0 * kPerWord * kChains * kUnroll * kLanes * static_cast<double>(iterations);
}

#define AF_NARROW_TABLE {AF_CONV_DIRECT_TABLE, AF_GEMM_TABLE, peak_dot}

}  // namespace
}  // namespace alphaflops::kernels
