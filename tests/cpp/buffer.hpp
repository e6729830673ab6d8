// Arrays for kernel tests: poisoned, guarded on both sides, and off any vector's alignment.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <type_traits>
#include <vector>

#include "alphaflops/bf16.hpp"

namespace check {

// What an element that nothing wrote holds: it spoils a result that it gets into.
template <class T>
constexpr T poison_value() {
  if constexpr (std::is_floating_point_v<T>) {
    return std::numeric_limits<T>::quiet_NaN();
  } else {
    return static_cast<T>(0x5a5a5a5a);
  }
}
template <>
constexpr alphaflops::Bf16 poison_value() {
  return {0x7fc0};
}

template <class T>
class Array {
 public:
  explicit Array(std::int64_t size, int shift = 1)
      : size_(static_cast<std::size_t>(size)),
        begin_(kGuard + static_cast<std::size_t>(shift)),
        data_(size_ + 2 * kGuard + 16) {
    std::memset(data_.data(), kSentinel, data_.size() * sizeof(T));
    poison();
  }

  T* data() { return data_.data() + begin_; }
  const T* data() const { return data_.data() + begin_; }
  std::int64_t size() const { return static_cast<std::int64_t>(size_); }
  T& operator[](std::int64_t i) { return data()[i]; }
  const T& operator[](std::int64_t i) const { return data()[i]; }

  void poison() { std::fill_n(data(), size_, poison_value<T>()); }

  // Floating-point numbers in [-1, 1], integers of the whole range.
  void fill_random(std::mt19937& random) {
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    for (std::size_t i = 0; i < size_; ++i) {
      if constexpr (std::is_same_v<T, alphaflops::Bf16>) {
        data()[i] = alphaflops::to_bf16(uniform(random));
      } else if constexpr (std::is_integral_v<T>) {
        data()[i] = static_cast<T>(random());
      } else {
        data()[i] = uniform(random);
      }
    }
  }

  void fill_integers(std::mt19937& random) {
    std::uniform_int_distribution<int> uniform(-3, 3);
    for (std::size_t i = 0; i < size_; ++i) {
      if constexpr (std::is_same_v<T, alphaflops::Bf16>) {
        data()[i] = alphaflops::to_bf16(static_cast<float>(uniform(random)));
      } else if constexpr (std::is_unsigned_v<T>) {
        data()[i] = static_cast<T>(uniform(random) + 3);
      } else {
        data()[i] = static_cast<T>(uniform(random));
      }
    }
  }

  bool guards_intact() const {
    const auto intact = [](const T& v) {
      unsigned char bytes[sizeof(T)];
      std::memcpy(bytes, &v, sizeof(T));
      return std::all_of(bytes, bytes + sizeof(T), [](unsigned char b) { return b == kSentinel; });
    };
    return std::all_of(data_.begin(), data_.begin() + static_cast<std::ptrdiff_t>(begin_),
                       intact) &&
           std::all_of(data_.begin() + static_cast<std::ptrdiff_t>(begin_ + size_), data_.end(),
                       intact);
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr unsigned char kSentinel = 0x3b;
  std::size_t size_, begin_;
  std::vector<T> data_;
};
using Buffer = Array<float>;

// ||y - reference|| / ||reference||; NaN anywhere in y gives NaN.
template <class T>
double relative_error(const T* y, const std::vector<double>& reference) {
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < reference.size(); ++i) {
    const double d = static_cast<double>(y[i]) - reference[i];
    difference += d * d;
    norm += reference[i] * reference[i];
  }
  constexpr double kLeast = 1e-60;  // the square of a value that single precision takes for zero
  return std::sqrt(difference / std::max(norm, kLeast));
}

// ALPHAFLOPS_TEST_SHAPES, or what the test does by default.
inline int shape_count(int usual) {
  const char* text = std::getenv("ALPHAFLOPS_TEST_SHAPES");
  return text == nullptr ? usual : std::max(1, std::atoi(text));
}

}  // namespace check
