// Shapes for convolution tests, and what a convolution of them should give.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "alphaflops/bf16.hpp"
#include "alphaflops/conv.hpp"

namespace check {

using namespace alphaflops;
using std::int64_t;

inline double value(float x) { return static_cast<double>(x); }
inline double value(Bf16 x) { return static_cast<double>(to_float(x)); }
inline double value(std::int32_t x) { return static_cast<double>(x); }
inline double value(std::uint8_t x) { return static_cast<double>(x); }
inline double value(std::int8_t x) { return static_cast<double>(x); }

inline std::string describe(const Conv2dShape& s, Isa isa, ConvAlgorithm algorithm) {
  std::string text = std::string(to_string(isa)) + " " + std::string(to_string(algorithm));
  const std::pair<const char*, int64_t> fields[] = {{"batch", s.batch},
                                                    {"c_in", s.c_in},
                                                    {"h_in", s.h_in},
                                                    {"w_in", s.w_in},
                                                    {"c_out", s.c_out},
                                                    {"k_h", s.k_h},
                                                    {"k_w", s.k_w},
                                                    {"stride_h", s.stride_h},
                                                    {"stride_w", s.stride_w},
                                                    {"pad_top", s.pad_top},
                                                    {"pad_bottom", s.pad_bottom},
                                                    {"pad_left", s.pad_left},
                                                    {"pad_right", s.pad_right},
                                                    {"dilation_h", s.dilation_h},
                                                    {"dilation_w", s.dilation_w},
                                                    {"groups", s.groups}};
  for (const auto& [name, value] : fields)
    text += std::string(" ") + name + "=" + std::to_string(value);
  return text;
}

// In double precision, which is exact for whole numbers. `value` makes a number of an element.
template <class X, class W, class B>
std::vector<double> reference(const Conv2dShape& s, const X* x, const W* w, const B* bias,
                              Activation activation) {
  const int64_t h_out = s.h_out(), w_out = s.w_out();
  const int64_t group_in = s.c_in / s.groups, group_out = s.c_out / s.groups;
  std::vector<double> y(static_cast<std::size_t>(s.batch * h_out * w_out * s.c_out));
  std::size_t at = 0;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t p = 0; p < h_out; ++p) {
      for (int64_t q = 0; q < w_out; ++q) {
        for (int64_t o = 0; o < s.c_out; ++o) {
          double sum = bias == nullptr ? 0.0 : value(bias[o]);
          for (int64_t r = 0; r < s.k_h; ++r) {
            const int64_t iy = p * s.stride_h - s.pad_top + r * s.dilation_h;
            if (iy < 0 || iy >= s.h_in) continue;
            for (int64_t t = 0; t < s.k_w; ++t) {
              const int64_t ix = q * s.stride_w - s.pad_left + t * s.dilation_w;
              if (ix < 0 || ix >= s.w_in) continue;
              const X* pixel =
                  x + ((n * s.h_in + iy) * s.w_in + ix) * s.c_in + o / group_out * group_in;
              for (int64_t i = 0; i < group_in; ++i) {
                sum += value(pixel[i]) * value(w[((o * group_in + i) * s.k_h + r) * s.k_w + t]);
              }
            }
          }
          if (activation != Activation::none) sum = std::max(sum, 0.0);
          if (activation == Activation::relu6) sum = std::min(sum, 6.0);
          y[at++] = sum;
        }
      }
    }
  }
  return y;
}

inline int64_t pick(std::mt19937& random, std::initializer_list<int64_t> values) {
  return *(values.begin() + random() % values.size());
}

inline Conv2dShape random_shape(std::mt19937& random, int64_t budget) {
  for (;;) {
    Conv2dShape s;
    s.batch = pick(random, {1, 1, 1, 2, 3});
    s.k_h = pick(random, {1, 1, 2, 3, 3, 3, 5, 7});
    s.k_w = random() % 4 == 0 ? pick(random, {1, 2, 3, 4, 5, 7, 11}) : s.k_h;
    s.stride_h = pick(random, {1, 1, 1, 2, 3});
    s.stride_w = random() % 4 == 0 ? pick(random, {1, 2, 3}) : s.stride_h;
    s.dilation_h = pick(random, {1, 1, 1, 1, 2, 3});
    s.dilation_w = random() % 4 == 0 ? pick(random, {1, 2}) : s.dilation_h;
    s.h_in = 1 + static_cast<int64_t>(random() % 12);
    s.w_in = 1 + static_cast<int64_t>(random() % 33);
    for (int64_t* pad : {&s.pad_top, &s.pad_bottom, &s.pad_left, &s.pad_right}) {
      *pad = random() % 3 == 0 ? static_cast<int64_t>(random() % 6) : (s.k_h - 1) / 2;
    }
    if (s.k_h == 1 && s.k_w == 1 && random() % 2 == 0) {
      s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = 0;
      s.stride_h = s.stride_w = 1;
    }
    if (random() % 6 == 0) {  // what Winograd takes
      s.k_h = s.k_w = 3;
      s.stride_h = s.stride_w = s.dilation_h = s.dilation_w = 1;
    }
    switch (random() % 4) {
      case 0:  // depthwise
        s.c_in = s.c_out = s.groups = 1 + static_cast<int64_t>(random() % 80);
        break;
      case 1:  // grouped
        s.groups = pick(random, {2, 3, 4, 8});
        if (random() % 2 == 0) {  // narrow
          s.groups = 1 + static_cast<int64_t>(random() % 20);
          s.c_in = s.c_out = s.groups * pick(random, {2, 4, 8});
          break;
        }
        s.c_in = s.groups * (1 + static_cast<int64_t>(random() % 10));
        s.c_out = s.groups * (1 + static_cast<int64_t>(random() % 40));
        break;
      default:
        s.c_in = 1 + static_cast<int64_t>(random() % 40);
        s.c_out = 1 + static_cast<int64_t>(random() % 150);
        break;
    }
    if ((s.k_h - 1) * s.dilation_h + 1 > s.h_in + s.pad_top + s.pad_bottom) continue;
    if ((s.k_w - 1) * s.dilation_w + 1 > s.w_in + s.pad_left + s.pad_right) continue;
    if (s.macs() <= budget) return s;
  }
}

inline Conv2dShape shape(int64_t c_in, int64_t size, int64_t c_out, int64_t kernel, int64_t stride,
                         int64_t pad) {
  Conv2dShape s;
  s.c_in = c_in;
  s.h_in = s.w_in = size;
  s.c_out = c_out;
  s.k_h = s.k_w = kernel;
  s.stride_h = s.stride_w = stride;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = pad;
  return s;
}

}  // namespace check
