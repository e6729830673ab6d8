#include "memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <utility>

#include "alphaflops/error.hpp"
#include "platform.hpp"

namespace alphaflops {
namespace {

// splitmix64: turns neighbouring seeds into unrelated states.
std::uint64_t mix(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

}  // namespace

Memory::Memory(std::int64_t floats, const char* what) : floats_(floats) {
  if (floats == 0) return;
  const std::int64_t bytes = checked_mul(floats, float_bytes, what);
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  void* address =
      mmap(nullptr, static_cast<std::size_t>(bytes), PROT_READ | PROT_WRITE, flags, -1, 0);
  if (address == MAP_FAILED) {
    throw Error(std::string(what) + ": the system has no " + std::to_string(bytes) +
                " bytes to give; use a smaller batch or fewer, smaller shapes");
  }
#ifdef MADV_HUGEPAGE
  madvise(address, static_cast<std::size_t>(bytes), MADV_HUGEPAGE);  // a wish; refusal is fine
#endif
  data_ = static_cast<float*>(address);
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), floats_(std::exchange(other.floats_, 0)) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(floats_, other.floats_);
  return *this;
}

Memory::~Memory() {
  if (data_ != nullptr) munmap(data_, static_cast<std::size_t>(floats_ * float_bytes));
}

void Memory::discard(std::int64_t from) const {
  const std::int64_t page = sysconf(_SC_PAGESIZE);
  const std::int64_t first = (from * float_bytes + page - 1) / page * page;
  const std::int64_t bytes = floats_ * float_bytes - first;
  if (bytes <= 0) return;
  discard_pages(data_ + first / float_bytes, static_cast<std::size_t>(bytes));
}

void fill_uniform(std::span<float> values, float amplitude, std::uint64_t seed) {
  // Four xorshift64 streams, so that one does not wait for the other; two floats a step each.
  constexpr std::size_t lanes = 4;
  std::uint64_t state[lanes];
  for (std::size_t lane = 0; lane < lanes; ++lane) state[lane] = mix(seed * lanes + lane) | 1;
  const float scale = amplitude * 0x1p-31F;
  const auto step = [&](float* out) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      std::uint64_t& x = state[lane];
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      out[2 * lane] = static_cast<float>(static_cast<std::int32_t>(x)) * scale;
      out[2 * lane + 1] = static_cast<float>(static_cast<std::int32_t>(x >> 32)) * scale;
    }
  };
  std::size_t i = 0;
  for (; i + 2 * lanes <= values.size(); i += 2 * lanes) step(&values[i]);
  if (i == values.size()) return;
  float rest[2 * lanes];
  step(rest);
  std::memcpy(&values[i], rest, (values.size() - i) * sizeof(float));
}

}  // namespace alphaflops
