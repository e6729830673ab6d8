// y = f(x), f(x + x2), x * x2, f(x * scale[c] + shift[c]). An x2 that is smaller, such as a gate,
// repeats; then without f. A sum may have signs, and a product be a quotient.
#pragma once

#include "stream_functions.cuh"
#include "stream_params.cuh"

namespace alphaflops::cuda {

enum class Elementwise { activation, add, multiply, scale_shift };

// The pack of the second operand that meets pack `block + within` of the first.
AF_DEVICE long long repeated_pack(const ElementwiseParams& p, long long block, unsigned within) {
  const Split at = split(block, within, p.by_channel_packs);
  unsigned second = divide(at.quotient, p.by_repeats);
  divide_keep(second, p.by_blocks);
  return static_cast<long long>(second) * p.by_channel_packs.divisor + at.remainder;
}

template <class T, int width, Elementwise kind, bool repeats>
AF_DEVICE void stream_elementwise(const ElementwiseParams& p) {
  constexpr bool two = kind == Elementwise::add || kind == Elementwise::multiply;
  constexpr bool has_function = !repeats && kind != Elementwise::multiply;
  const long long block = static_cast<long long>(blockIdx.x) * (stream_threads * stream_unroll);
  Pack<T, width> x[stream_unroll], x2[two ? stream_unroll : 1];
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const unsigned within = static_cast<unsigned>(i * stream_threads) + threadIdx.x;
    const long long pack = block + within;
    if (pack >= p.packs) continue;
    x[i] = load<T, width>(static_cast<const T*>(p.input) + pack * width);
    if constexpr (two) {
      const long long second = repeats ? repeated_pack(p, block, within) : pack;
      x2[i] = load<T, width>(static_cast<const T*>(p.second) + second * width);
    }
  }
  AF_UNROLL
  for (int i = 0; i < stream_unroll; ++i) {
    const unsigned within = static_cast<unsigned>(i * stream_threads) + threadIdx.x;
    const long long pack = block + within;
    if (pack >= p.packs) continue;
    int channel = 0;
    if constexpr (kind == Elementwise::scale_shift) {
      channel = static_cast<int>(split(block, within, p.by_channel_packs).remainder) * width;
    }
    float value[width], second[width];
    AF_UNROLL
    for (int k = 0; k < width; ++k) {
      value[k] = to_float(x[i].element[k]);
      if constexpr (kind == Elementwise::add) {
        value[k] = p.sign * value[k] + p.second_sign * to_float(x2[i].element[k]);
      }
      if constexpr (kind == Elementwise::multiply) second[k] = to_float(x2[i].element[k]);
      if constexpr (kind == Elementwise::scale_shift) {
        value[k] = value[k] * p.weights[channel + k] + p.bias[channel + k];
      }
    }
    if constexpr (kind == Elementwise::multiply) {
      if (p.divides != 0) {
        AF_UNROLL
        for (int k = 0; k < width; ++k) second[k] = reciprocal(second[k]);
      }
      AF_UNROLL
      for (int k = 0; k < width; ++k) value[k] *= second[k];
    }
    if constexpr (kind == Elementwise::activation) {
      apply_all(value, p.activation);
    } else if constexpr (has_function) {
      activate_all(value, p.activation);
    }
    Pack<T, width> y;
    AF_UNROLL
    for (int k = 0; k < width; ++k) y.element[k] = from_float<T>(value[k]);
    store<T, width>(static_cast<T*>(p.output) + pack * width, y);
  }
}

#define AF_ELEMENTWISE(name, kind, repeats, dtype, T, suffix, width)     \
  AF_KERNEL void __launch_bounds__(stream_threads)                       \
      stream_##name##_##dtype##_##suffix(AF_PARAM ElementwiseParams p) { \
    stream_elementwise<T, width, Elementwise::kind, repeats>(p);         \
  }
#define AF_ELEMENTWISE_WIDTHS(name, kind, repeats, dtype, T)           \
  AF_ELEMENTWISE(name, kind, repeats, dtype, T, x16, (16 / sizeof(T))) \
  AF_ELEMENTWISE(name, kind, repeats, dtype, T, x1, 1)
#define AF_ELEMENTWISE_KINDS(dtype, T)                               \
  AF_ELEMENTWISE_WIDTHS(activation, activation, false, dtype, T)     \
  AF_ELEMENTWISE_WIDTHS(add, add, false, dtype, T)                   \
  AF_ELEMENTWISE_WIDTHS(add_repeated, add, true, dtype, T)           \
  AF_ELEMENTWISE_WIDTHS(multiply, multiply, false, dtype, T)         \
  AF_ELEMENTWISE_WIDTHS(multiply_repeated, multiply, true, dtype, T) \
  AF_ELEMENTWISE_WIDTHS(scale_shift, scale_shift, false, dtype, T)
AF_ELEMENTWISE_KINDS(fp32, float)
AF_ELEMENTWISE_KINDS(fp16, half_t)
AF_ELEMENTWISE_KINDS(bf16, bf16_t)
#undef AF_ELEMENTWISE_KINDS
#undef AF_ELEMENTWISE_WIDTHS
#undef AF_ELEMENTWISE

}  // namespace alphaflops::cuda
