// The errors the library raises, and integer arithmetic that raises them instead of wrapping.
//
// A message names the thing (layer, field, file), its value, and what would be right.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

namespace alphaflops {

/// Base of everything the library raises.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A size, shape or attribute that no operator can have.
struct ShapeError : Error {
  using Error::Error;
};

/// A count beyond 2^63 - 1.
struct OverflowError : Error {
  using Error::Error;
};

/// An operator, dtype, instruction set or option that is valid but not available here.
struct UnsupportedError : Error {
  using Error::Error;
};

/// A model, or a code of a search space, that is no network.
struct ModelError : Error {
  using Error::Error;
};

/// A device profile that is malformed, of another version, or lacks what was asked of it.
struct ProfileError : Error {
  using Error::Error;
};

/// A file that cannot be read or written.
struct IoError : Error {
  using Error::Error;
};

/// `a * b`; raises OverflowError naming `what` where the product leaves int64.
inline std::int64_t checked_mul(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) {
    throw OverflowError(std::string(what) + ": " + std::to_string(a) + " x " + std::to_string(b) +
                        " exceeds the largest 64-bit count (2^63 - 1); use smaller sizes");
  }
  return product;
}

/// `a + b`; raises OverflowError naming `what` where the sum leaves int64.
inline std::int64_t checked_add(std::int64_t a, std::int64_t b, const char* what) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) {
    throw OverflowError(std::string(what) + ": " + std::to_string(a) + " + " + std::to_string(b) +
                        " exceeds the largest 64-bit count (2^63 - 1); use smaller sizes");
  }
  return sum;
}

}  // namespace alphaflops
