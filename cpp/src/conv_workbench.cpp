// Memory, random numbers and threads that convolution benches take turns in.
#include "conv_workbench.hpp"

#include <algorithm>
#include <bit>
#include <span>
#include <string>

#include "alphaflops/error.hpp"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace alphaflops {
namespace {

// Numbers are filled in by whole blocks, so that they do not depend on who asked for how many.
constexpr std::int64_t kBlock = 1 << 16;  // floats

/// Numbers that are uniform in [-1, 1) read as fp32, as pairs of bf16 (but for rounding), and some
/// bytes of any value read as int8.
void fill_any(std::span<float> values, std::uint64_t seed) {
  fill_uniform(values, 1.0F, seed);
  for (float& each : values) {
    const auto bits = std::bit_cast<std::uint32_t>(each);
    // The lower half: another number of that range, with the sign and exponent of this one.
    each = std::bit_cast<float>((bits & 0xffff0000U) | ((bits >> 16) ^ (bits & 0x807fU)));
  }
}

}  // namespace

ConvWorkbench::Blocks::Blocks(int most_threads, std::uint64_t seed_, std::int64_t bytes)
    : threads(most_threads),
      seed(seed_),
      limit_bytes(bytes),
      numbers(bytes / float_bytes, "weights and inputs"),
      scratch(bytes / float_bytes, "outputs and workspace") {
  pool(threads);
#if !defined(__x86_64__)
  eviction = Memory(std::max<std::int64_t>(2 * system_info().l3_bytes, 64 << 20) / float_bytes,
                    "eviction");
#endif
}

void ConvWorkbench::Blocks::reserve(std::int64_t number_floats, std::int64_t scratch_floats) {
  const std::int64_t limit = limit_bytes / float_bytes;
  if (std::max(filled, number_floats) + std::max(used, scratch_floats) > limit) {
    numbers.discard(number_floats);
    scratch.discard(scratch_floats);
    filled = std::min(filled, number_floats) / kBlock * kBlock;
    used = std::min(used, scratch_floats);
  }
  while (filled < number_floats) {
    const std::int64_t count = std::min(kBlock, numbers.size() - filled);
    fill_any({numbers.data() + filled, static_cast<std::size_t>(count)},
             seed * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(filled) + 1);
    filled += count;
  }
  if (scratch_floats > used) {
    std::fill(scratch.data() + used, scratch.data() + scratch_floats, 0.0F);
    used = scratch_floats;
  }
}

void ConvWorkbench::Blocks::evict(const float* data, std::int64_t floats) {
#if defined(__x86_64__)
  const char* bytes = reinterpret_cast<const char*>(data);
  for (std::int64_t i = 0; i < floats * float_bytes; i += line_bytes) _mm_clflush(bytes + i);
  _mm_mfence();
#else
  static_cast<void>(data);
  static_cast<void>(floats);
  for (std::int64_t i = 0; i < eviction.size(); i += line_floats) eviction.data()[i] += 1.0F;
#endif
}

ThreadPool* ConvWorkbench::Blocks::pool(int count) {
  if (count == 1) return nullptr;
  std::unique_ptr<ThreadPool>& slot = pools[count];
  if (slot == nullptr) {
    // A pool that is there already has pinned this thread; the next must see every processor.
    if (!processors.empty()) set_thread_affinity(processors);
    slot = std::make_unique<ThreadPool>(count);
  }
  return slot.get();
}

ConvWorkbench::ConvWorkbench(int threads, std::uint64_t seed, std::int64_t limit_bytes) {
  if (threads < 1) {
    throw ShapeError("threads is " + std::to_string(threads) + "; it must be 1 or more");
  }
  if (threads > processor_count()) {
    throw UnsupportedError("threads is " + std::to_string(threads) + "; this process may use " +
                           std::to_string(processor_count()) + " processors");
  }
  if (limit_bytes < 0) {
    throw ShapeError("a workbench of " + std::to_string(limit_bytes) + " bytes; give at least 1");
  }
  const std::int64_t limit = limit_bytes > 0 ? limit_bytes : available_memory_bytes() / 4 * 3;
  blocks_ = std::make_unique<Blocks>(threads, seed, limit);
}
ConvWorkbench::~ConvWorkbench() = default;

int ConvWorkbench::threads() const { return blocks_->threads; }
std::int64_t ConvWorkbench::limit_bytes() const { return blocks_->limit_bytes; }

}  // namespace alphaflops
