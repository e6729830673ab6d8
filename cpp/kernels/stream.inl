// Elementwise operators, pooling and softmax: kernels that the memory system bounds.
//
// exp is 2^n * p(r) with the degree-5 minimax polynomial of Cephes expf, tanh is Cephes tanhf below
// 0.625, and erfc is the Chebyshev fit of Numerical Recipes (relative error 1.2e-7 everywhere).
#pragma once

namespace alphaflops::kernels {
namespace {

// The order of the enumerators of Activation; dispatch.cpp asserts it.
enum { kNone, kRelu, kRelu6, kSigmoid, kSilu, kHardsigmoid, kHardswish, kGelu, kTanh };

AF_INLINE Vec exp_vec(Vec x) {
  const Vec low = splat(-87.3365f);
  const Vec t = min(splat(88.02f), max(low, x));
  const Vec n = round_even(mul(t, splat(1.44269504088896341f)));
  Vec r = fma(n, splat(-0.693359375f), t);
  r = fma(n, splat(2.12194440e-4f), r);
  Vec p = splat(1.9875691500e-4f);
  p = fma(p, r, splat(1.3981999507e-3f));
  p = fma(p, r, splat(8.3334519073e-3f));
  p = fma(p, r, splat(4.1665795894e-2f));
  p = fma(p, r, splat(1.6666665459e-1f));
  p = fma(p, r, splat(5.0000001201e-1f));
  p = fma(p, mul(r, r), add(r, splat(1.0f)));
  return select_less(x, low, splat(0.0f), mul(p, exp2_integer(n)));
}

AF_INLINE Vec negate(Vec x) { return sub(splat(0.0f), x); }
AF_INLINE Vec absolute(Vec x) { return max(negate(x), x); }
AF_INLINE Vec sigmoid_vec(Vec x) { return div(splat(1.0f), add(splat(1.0f), exp_vec(negate(x)))); }

AF_INLINE Vec tanh_vec(Vec x) {
  const Vec z = mul(x, x);
  Vec p = splat(-5.70498872745e-3f);
  p = fma(p, z, splat(2.06390887954e-2f));
  p = fma(p, z, splat(-5.37397155531e-2f));
  p = fma(p, z, splat(1.33314422036e-1f));
  p = fma(p, z, splat(-3.33332819422e-1f));
  const Vec near = fma(mul(p, z), x, x);
  const Vec e = exp_vec(add(x, x));
  const Vec far = sub(splat(1.0f), div(splat(2.0f), add(e, splat(1.0f))));
  return select_less(absolute(x), splat(0.625f), near, far);
}

// x * Phi(x), with Phi by way of erfc so that the left tail keeps its relative accuracy. There
// exp(-x^2 / 2) magnifies a rounding of x^2 fiftyfold, so the square is taken in two parts, of
// which the large one is exact: x^2 = hi^2 + (x - hi)(x + hi), hi a multiple of 1/16.
AF_INLINE Vec gelu_vec(Vec x) {
  const Vec a = min(splat(64.0f), absolute(x));  // beyond, Phi is 0 or 1
  const Vec hi = mul(round_even(mul(a, splat(16.0f))), splat(0.0625f));
  const Vec lo = mul(sub(a, hi), mul(add(a, hi), splat(0.5f)));
  const Vec large = exp_vec(mul(mul(hi, hi), splat(-0.5f)));
  const Vec z = mul(a, splat(0.70710678118654752f));
  const Vec t = div(splat(1.0f), fma(splat(0.5f), z, splat(1.0f)));
  Vec p = splat(0.17087277f);
  p = fma(p, t, splat(-0.82215223f));
  p = fma(p, t, splat(1.48851587f));
  p = fma(p, t, splat(-1.13520398f));
  p = fma(p, t, splat(0.27886807f));
  p = fma(p, t, splat(-0.18628806f));
  p = fma(p, t, splat(0.09678418f));
  p = fma(p, t, splat(0.37409196f));
  p = fma(p, t, splat(1.00002368f));
  p = fma(p, t, splat(-1.26551223f));
  const Vec half = mul(mul(splat(0.5f), t), mul(large, exp_vec(sub(p, lo))));
  return mul(x, select_less(x, splat(0.0f), half, sub(splat(1.0f), half)));
}

template <int A>
AF_INLINE Vec activation(Vec x) {
  const Vec zero = splat(0.0f);
  const Vec six = splat(6.0f);
  if constexpr (A == kRelu) return max(zero, x);
  if constexpr (A == kRelu6) return min(six, max(zero, x));
  if constexpr (A == kSigmoid) return sigmoid_vec(x);
  if constexpr (A == kSilu) return mul(x, sigmoid_vec(x));
  if constexpr (A == kHardsigmoid || A == kHardswish) {
    const Vec gate = mul(min(six, max(zero, add(x, splat(3.0f)))), splat(1.0f / 6.0f));
    return A == kHardswish ? mul(x, gate) : gate;
  }
  if constexpr (A == kGelu) return gelu_vec(x);
  if constexpr (A == kTanh) return tanh_vec(x);
  return x;
}

// Calls body(offset, load, store) over n floats: four vectors, one vector, then the part of one.
template <class Body>
AF_INLINE void each_vector(std::int64_t n, Body body) {
  std::int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
#pragma GCC unroll 4
    for (int u = 0; u < 4; ++u) {
      body(
          i + u * kLanes, [](const float* p) { return load(p); },
          [](float* p, Vec v) { store(p, v); });
    }
  }
  for (; i + kLanes <= n; i += kLanes) {
    body(i, [](const float* p) { return load(p); }, [](float* p, Vec v) { store(p, v); });
  }
  if (i < n) {
    const std::int64_t rest = n - i;
    body(
        i, [rest](const float* p) { return load_part(p, rest); },
        [rest](float* p, Vec v) { store_part(p, rest, v); });
  }
}

template <int A>
void activate(const float* x, float* y, std::int64_t n) {
  each_vector(n,
              [=](std::int64_t i, auto get, auto put) { put(y + i, activation<A>(get(x + i))); });
}

template <int A>
void add_arrays(const float* a, const float* b, float* y, std::int64_t n) {
  each_vector(n, [=](std::int64_t i, auto get, auto put) {
    put(y + i, activation<A>(add(get(a + i), get(b + i))));
  });
}

template <int A>
void multiply_arrays(const float* a, const float* b, float* y, std::int64_t n) {
  each_vector(n, [=](std::int64_t i, auto get, auto put) {
    put(y + i, activation<A>(mul(get(a + i), get(b + i))));
  });
}

template <int A>
void scale_shift(const float* x, const float* scale, const float* shift, float* y,
                 std::int64_t pixels, std::int64_t channels) {
  for (std::int64_t p = 0; p < pixels; ++p) {
    each_vector(channels, [=](std::int64_t i, auto get, auto put) {
      put(y + i, activation<A>(fma(get(x + i), get(scale + i), get(shift + i))));
    });
    x += channels;
    y += channels;
  }
}

void multiply_channels(const float* x, const float* s, float* y, std::int64_t pixels,
                       std::int64_t channels) {
  for (std::int64_t p = 0; p < pixels; ++p) {
    each_vector(channels, [=](std::int64_t i, auto get, auto put) {
      put(y + i, mul(get(x + i), get(s + i)));
    });
    x += channels;
    y += channels;
  }
}

template <bool Max>
void pool(const PoolArgs* args) {
  const PoolArgs a = *args;
  each_vector(a.channels, [&a](std::int64_t i, auto get, auto put) {
    Vec acc = splat(Max ? -__builtin_inff() : 0.0f);
    for (std::int64_t row = 0; row < a.rows; ++row) {
      const float* x = a.input + row * a.row + i;
      for (std::int64_t column = 0; column < a.columns; ++column) {
        acc = Max ? max(acc, get(x)) : add(acc, get(x));
        x += a.column;
      }
    }
    put(a.output + i, Max ? acc : mul(acc, splat(a.scale)));
  });
}

void copy_channels(const float* x, float* y, std::int64_t pixels, std::int64_t channels,
                   std::int64_t y_stride) {
  for (std::int64_t p = 0; p < pixels; ++p) {
    each_vector(channels, [=](std::int64_t i, auto get, auto put) { put(y + i, get(x + i)); });
    x += channels;
    y += y_stride;
  }
}

// exp(x - max) / sum, one row.
void softmax(const float* x, float* y, std::int64_t n) {
  Vec top = splat(-__builtin_inff());
  std::int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) top = max(top, load(x + i));
  float largest = max_lanes(top);
  for (; i < n; ++i) largest = largest > x[i] ? largest : x[i];
  const Vec shift = splat(largest);
  Vec sums = splat(0.0f);
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const Vec e = exp_vec(sub(load(x + i), shift));
    sums = add(sums, e);
    store(y + i, e);
  }
  float total = sum_lanes(sums);
  if (i < n) {
    store_part(y + i, n - i, exp_vec(sub(load_part(x + i, n - i), shift)));
    for (; i < n; ++i) total += y[i];
  }
  const Vec scale = splat(1.0f / total);
  each_vector(n, [=](std::int64_t k, auto get, auto put) { put(y + k, mul(get(y + k), scale)); });
}

#define AF_EACH_ACTIVATION(F)                                        \
  {F<kNone>,        F<kRelu>,      F<kRelu6>, F<kSigmoid>, F<kSilu>, \
   F<kHardsigmoid>, F<kHardswish>, F<kGelu>,  F<kTanh>}
#define AF_STREAM_TABLE                 \
  {AF_EACH_ACTIVATION(activate),        \
   AF_EACH_ACTIVATION(add_arrays),      \
   AF_EACH_ACTIVATION(multiply_arrays), \
   AF_EACH_ACTIVATION(scale_shift),     \
   multiply_channels,                   \
   pool<true>,                          \
   pool<false>,                         \
   copy_channels,                       \
   softmax}

}  // namespace
}  // namespace alphaflops::kernels
