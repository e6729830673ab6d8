// Arrays for kernel tests: poisoned, guarded on both sides, and off any vector's alignment.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

namespace check {

class Buffer {
 public:
  explicit Buffer(std::int64_t size, int shift = 1)
      : size_(static_cast<std::size_t>(size)),
        begin_(kGuard + static_cast<std::size_t>(shift)),
        data_(size_ + 2 * kGuard + 16, kSentinel) {
    poison();
  }

  float* data() { return data_.data() + begin_; }
  const float* data() const { return data_.data() + begin_; }
  std::int64_t size() const { return static_cast<std::int64_t>(size_); }
  float& operator[](std::int64_t i) { return data()[i]; }
  float operator[](std::int64_t i) const { return data()[i]; }

  void poison() { std::fill_n(data(), size_, std::numeric_limits<float>::quiet_NaN()); }

  void fill_random(std::mt19937& random) {
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    for (std::size_t i = 0; i < size_; ++i) data()[i] = uniform(random);
  }

  void fill_integers(std::mt19937& random) {
    std::uniform_int_distribution<int> uniform(-3, 3);
    for (std::size_t i = 0; i < size_; ++i) data()[i] = static_cast<float>(uniform(random));
  }

  bool guards_intact() const {
    const auto intact = [](float v) { return v == kSentinel; };
    return std::all_of(data_.begin(), data_.begin() + static_cast<std::ptrdiff_t>(begin_),
                       intact) &&
           std::all_of(data_.begin() + static_cast<std::ptrdiff_t>(begin_ + size_), data_.end(),
                       intact);
  }

 private:
  static constexpr std::size_t kGuard = 64;
  static constexpr float kSentinel = 12345.0f;
  std::size_t size_, begin_;
  std::vector<float> data_;
};

// ||y - reference|| / ||reference||; NaN anywhere in y gives NaN.
inline double relative_error(const float* y, const std::vector<double>& reference) {
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
