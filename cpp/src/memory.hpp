// Page-aligned memory for weights and activations, and the random numbers that fill it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace alphaflops {

inline constexpr std::int64_t float_bytes = sizeof(float);
/// Floats in a cache line: what buffers are aligned to.
inline constexpr std::int64_t line_floats = 16;

constexpr std::int64_t round_up_to_line(std::int64_t floats) {
  return (floats + line_floats - 1) / line_floats * line_floats;
}

/// Address space of a fixed size, zero until written; the system commits a page when it is touched.
/// Large pages are asked for: with small ones, a layer's time depends on which pages it happened to
/// get, and two runs of one program differ by several per cent.
class Memory {
 public:
  Memory() = default;
  /// Raises Error naming `what` and the size where the system has not that much.
  Memory(std::int64_t floats, const char* what);
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;
  ~Memory();

  /// Gives the pages from that float on back to the system; they read as zero.
  void discard(std::int64_t from) const;

  float* data() const { return data_; }
  std::int64_t size() const { return floats_; }

 private:
  float* data_ = nullptr;
  std::int64_t floats_ = 0;
};

/// Uniform in [-amplitude, amplitude), the same for the same seed; some gigabytes a second.
void fill_uniform(std::span<float> values, float amplitude, std::uint64_t seed);

}  // namespace alphaflops
