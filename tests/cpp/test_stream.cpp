// Streaming operators and probes against float64 references.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "activation_reference.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/probe.hpp"
#include "alphaflops/stream.hpp"
#include "buffer.hpp"
#include "check.hpp"

namespace {

using namespace alphaflops;
using check::Buffer;
using std::int64_t;

constexpr double kTolerance = 3e-6;

Buffer random_buffer(int64_t n, std::mt19937& random, float scale = 4.0f) {
  Buffer buffer(n, static_cast<int>(random() % 16));
  buffer.fill_random(random);
  for (int64_t i = 0; i < n; ++i) buffer[i] *= scale;
  return buffer;
}

void check_close(const Buffer& y, const std::vector<double>& expected, const std::string& name) {
  const double error = check::relative_error(y.data(), expected);
  CHECK_MESSAGE(error <= kTolerance, name + " error " + std::to_string(error));
  CHECK_MESSAGE(y.guards_intact(), name + " wrote outside its array");
}

std::string label(const char* what, Isa isa, Activation activation, int64_t n) {
  return std::string(what) + " " + std::string(to_string(isa)) + " " +
         std::string(to_string(activation)) + " n=" + std::to_string(n);
}

void elementwise(Isa isa, std::mt19937& random) {
  for (int each = 0; each < 9; ++each) {
    const auto f = static_cast<Activation>(each);
    for (int64_t n : {0, 1, 5, 8, 15, 16, 17, 31, 64, 127, 300}) {
      const Buffer a = random_buffer(n, random), b = random_buffer(n, random);
      Buffer y(n, 3);
      std::vector<double> expected(static_cast<std::size_t>(n));
      // The function is held to its own accuracy: its argument is the sum or product in fp32, which
      // the tail of gelu would otherwise magnify a hundredfold.
      const auto fill = [&](auto value) {
        for (int64_t i = 0; i < n; ++i) {
          const double exact = value(static_cast<double>(a[i]), static_cast<double>(b[i]));
          expected[static_cast<std::size_t>(i)] =
              check::activated(f, static_cast<double>(static_cast<float>(exact)));
        }
      };
      fill([](double p, double) { return p; });
      activate(isa, f, a.data(), y.data(), n);
      check_close(y, expected, label("activate", isa, f, n));
      fill([](double p, double q) { return p + q; });
      y.poison();
      add(isa, a.data(), b.data(), y.data(), n, f);
      check_close(y, expected, label("add", isa, f, n));
      fill([](double p, double q) { return p * q; });
      y.poison();
      multiply(isa, a.data(), b.data(), y.data(), n, f);
      check_close(y, expected, label("multiply", isa, f, n));
      std::copy_n(a.data(), n, y.data());
      multiply(isa, y.data(), b.data(), y.data(), n, f);
      check_close(y, expected, label("multiply in place", isa, f, n));
    }
    // Far arguments one by one: each value keeps its own accuracy and nothing overflows.
    for (float x : {-200.0f, -88.5f, -20.0f, -5.0f, -1e-3f, 0.0f, 1e-6f, 0.3f, 0.62f, 0.63f, 2.0f,
                    9.0f, 50.0f, 89.0f, 200.0f}) {
      float y = std::numeric_limits<float>::quiet_NaN();
      activate(isa, f, &x, &y, 1);
      const double expected = check::activated(f, static_cast<double>(x));
      const double slack = std::max(5e-6 * std::abs(expected), 1e-30);
      CHECK_MESSAGE(
          std::abs(static_cast<double>(y) - expected) <= slack,
          label("activate", isa, f, 1) + " x=" + std::to_string(x) + " y=" + std::to_string(y));
    }
    const float nan = std::numeric_limits<float>::quiet_NaN();
    float y = 0.0f;
    activate(isa, f, &nan, &y, 1);
    CHECK_MESSAGE(std::isnan(y), label("activate of NaN", isa, f, 1));
  }
}

void channels(Isa isa, std::mt19937& random) {
  for (int64_t c : {1, 3, 8, 16, 19, 70}) {
    for (int64_t pixels : {1, 7}) {
      const int64_t batch = 2;
      const Buffer x = random_buffer(batch * pixels * c, random),
                   s = random_buffer(batch * c, random);
      const Buffer t = random_buffer(c, random);
      Buffer y(x.size());
      std::vector<double> expected(static_cast<std::size_t>(x.size()));
      for (int64_t i = 0; i < x.size(); ++i) {
        const int64_t image = i / (pixels * c);
        expected[static_cast<std::size_t>(i)] =
            static_cast<double>(x[i]) * static_cast<double>(s[image * c + i % c]);
      }
      multiply_channels(isa, x.data(), s.data(), y.data(), batch, pixels, c);
      check_close(y, expected, label("multiply_channels", isa, Activation::none, c));

      for (Activation f : {Activation::none, Activation::relu, Activation::silu}) {
        for (int64_t i = 0; i < x.size(); ++i) {
          expected[static_cast<std::size_t>(i)] =
              check::activated(f, static_cast<double>(x[i]) * static_cast<double>(s[i % c]) +
                                      static_cast<double>(t[i % c]));
        }
        y.poison();
        scale_shift(isa, x.data(), s.data(), t.data(), y.data(), batch * pixels, c, f);
        check_close(y, expected, label("scale_shift", isa, f, c));
      }

      expected.assign(static_cast<std::size_t>(batch * c), 0.0);
      for (int64_t i = 0; i < x.size(); ++i) {
        expected[static_cast<std::size_t>(i / (pixels * c) * c + i % c)] +=
            static_cast<double>(x[i]) / static_cast<double>(pixels);
      }
      Buffer mean(batch * c);
      global_average_pool(isa, x.data(), mean.data(), batch, pixels, c);
      check_close(mean, expected, label("global_average_pool", isa, Activation::none, c));

      const int64_t stride = c + 5;
      Buffer joined(pixels * stride);
      std::fill_n(joined.data(), joined.size(), 7.0f);
      copy_channels(isa, x.data(), joined.data(), pixels, c, stride, 3);
      bool same = joined.guards_intact();
      for (int64_t i = 0; i < joined.size(); ++i) {
        const int64_t column = i % stride - 3;
        same = same && joined[i] == (column >= 0 && column < c ? x[i / stride * c + column] : 7.0f);
      }
      CHECK_MESSAGE(same, label("copy_channels", isa, Activation::none, c));
    }
  }
}

// By PyTorch's rule, written out for one window.
std::vector<double> pool_reference(PoolKind kind, const Pool2dShape& s, const Buffer& x) {
  std::vector<double> y;
  for (int64_t n = 0; n < s.batch; ++n) {
    for (int64_t p = 0; p < s.h_out(); ++p) {
      for (int64_t q = 0; q < s.w_out(); ++q) {
        for (int64_t c = 0; c < s.channels; ++c) {
          double best = -std::numeric_limits<double>::infinity(), sum = 0.0;
          int64_t inside = 0, padded = 0;
          for (int64_t r = 0; r < s.k_h; ++r) {
            for (int64_t t = 0; t < s.k_w; ++t) {
              const int64_t iy = p * s.stride_h - s.pad_top + r,
                            ix = q * s.stride_w - s.pad_left + t;
              if (iy < s.h_in + s.pad_bottom && ix < s.w_in + s.pad_right) ++padded;
              if (iy < 0 || iy >= s.h_in || ix < 0 || ix >= s.w_in) continue;
              const auto value =
                  static_cast<double>(x[((n * s.h_in + iy) * s.w_in + ix) * s.channels + c]);
              best = std::max(best, value);
              sum += value;
              ++inside;
            }
          }
          const int64_t divisor = s.count_include_pad ? padded : inside;
          y.push_back(kind == PoolKind::max ? best
                      : inside == 0         ? 0.0
                                            : sum / static_cast<double>(divisor));
        }
      }
    }
  }
  return y;
}

void pooling(Isa isa, std::mt19937& random) {
  for (int trial = 0; trial < check::shape_count(60); ++trial) {
    Pool2dShape s;
    s.batch = 1 + static_cast<int64_t>(random() % 2);
    s.channels = 1 + static_cast<int64_t>(random() % 70);
    s.h_in = 2 + static_cast<int64_t>(random() % 11);
    s.w_in = 2 + static_cast<int64_t>(random() % 11);
    s.k_h = 1 + static_cast<int64_t>(random() % 3);
    s.k_w = 1 + static_cast<int64_t>(random() % 3);
    s.stride_h = 1 + static_cast<int64_t>(random() % 3);
    s.stride_w = 1 + static_cast<int64_t>(random() % 3);
    s.pad_top = static_cast<int64_t>(random()) % s.k_h;
    s.pad_bottom = static_cast<int64_t>(random()) % s.k_h;
    s.pad_left = static_cast<int64_t>(random()) % s.k_w;
    s.pad_right = static_cast<int64_t>(random()) % s.k_w;
    s.ceil_mode = random() % 2 == 0;
    s.count_include_pad = random() % 2 == 0;
    if (s.k_h > s.h_in + s.pad_top + s.pad_bottom || s.k_w > s.w_in + s.pad_left + s.pad_right)
      continue;
    const Buffer x = random_buffer(s.batch * s.h_in * s.w_in * s.channels, random);
    for (PoolKind kind : {PoolKind::max, PoolKind::average}) {
      const std::vector<double> expected = pool_reference(kind, s, x);
      Buffer y(static_cast<int64_t>(expected.size()));
      pool2d(isa, kind, s, x.data(), y.data());
      check_close(y, expected,
                  label(kind == PoolKind::max ? "max pool" : "average pool", isa, Activation::none,
                        s.channels));
    }
  }
  Pool2dShape s;  // the sizes PyTorch gives
  s.h_in = 7, s.k_h = 2, s.stride_h = 2;
  CHECK(s.h_out() == 3);
  s.ceil_mode = true;
  CHECK(s.h_out() == 4);
  s.h_in = 4, s.k_h = 1, s.stride_h = 3, s.pad_bottom = 0;
  CHECK(s.h_out() == 2);
  s.k_h = 9;
  CHECK_RAISES(s.h_out(), ShapeError, "k_h 9");
  s.k_h = 1, s.channels = 0;
  CHECK_RAISES(pool2d(isa, PoolKind::max, s, nullptr, nullptr), ShapeError, "channels is 0");
}

void softmax_rows(Isa isa, std::mt19937& random) {
  for (int64_t columns : {1, 2, 7, 8, 16, 17, 33, 1000}) {
    const int64_t rows = 3;
    Buffer x = random_buffer(rows * columns, random, 30.0f);
    if (columns > 1) x[0] = -std::numeric_limits<float>::infinity();
    std::vector<double> expected;
    for (int64_t r = 0; r < rows; ++r) {
      const float* row = x.data() + r * columns;
      const auto top = static_cast<double>(*std::max_element(row, row + columns));
      double sum = 0.0;
      for (int64_t i = 0; i < columns; ++i) sum += std::exp(static_cast<double>(row[i]) - top);
      for (int64_t i = 0; i < columns; ++i)
        expected.push_back(std::exp(static_cast<double>(row[i]) - top) / sum);
    }
    Buffer y(rows * columns, 5);
    softmax(isa, x.data(), y.data(), rows, columns);
    check_close(y, expected, label("softmax", isa, Activation::none, columns));
  }
}

void probes(Isa isa, std::mt19937& random) {
  const double flops = peak_fma(isa, 1000);
  CHECK(flops >= 2.0 * 10 * 1000 && flops == peak_fma(isa, 500) * 2);
  for (int64_t n : {1, 7, 64, 1000}) {
    const Buffer b = random_buffer(n, random), c = random_buffer(n, random);
    Buffer a(n, 9);
    double sum = 0.0;
    for (int64_t i = 0; i < n; ++i) sum += static_cast<double>(b[i]);
    CHECK(std::abs(stream_sum(isa, b.data(), n) - sum) <= 1e-4 * static_cast<double>(n));
    CHECK(stream_fill(isa, a.data(), 2.5f, n) == 2.5);
    CHECK(std::all_of(a.data(), a.data() + n, [](float v) { return v == 2.5f; }) &&
          a.guards_intact());
    stream_triad(isa, a.data(), b.data(), c.data(), 0.5f, n);
    std::vector<double> expected;
    for (int64_t i = 0; i < n; ++i)
      expected.push_back(static_cast<double>(b[i]) + 0.5 * static_cast<double>(c[i]));
    check_close(a, expected, label("triad", isa, Activation::none, n));
  }
  CHECK(dependent_adds(0) == 0 && dependent_adds(1000) == 1000);
}

void errors() {
  float x = 0.0f;
  CHECK_RAISES(activate(Isa::scalar, Activation::relu, &x, &x, -1), ShapeError, "n is -1");
  CHECK_RAISES(softmax(Isa::scalar, &x, &x, -2, 1), ShapeError, "rows is -2");
  CHECK_RAISES(copy_channels(Isa::scalar, &x, &x, 1, 4, 5, 2), ShapeError, "y_stride is 5");
  CHECK_RAISES(activate(static_cast<Isa>(9), Activation::relu, &x, &x, 1), UnsupportedError,
               "available");
}

}  // namespace

int main() {
  std::mt19937 random(20240601);
  for (Isa isa : available_isas()) {
    elementwise(isa, random);
    channels(isa, random);
    pooling(isa, random);
    softmax_rows(isa, random);
    probes(isa, random);
  }
  errors();
  return check::finish();
}
