// NCHW to NHWC and back, to the bit, for every instruction set, odd sizes and threads.
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/layout.hpp"
#include "alphaflops/threads.hpp"
#include "buffer.hpp"
#include "check.hpp"

using namespace alphaflops;

namespace {

using check::Buffer;
using std::int64_t;

// Every float its own bit pattern, NaNs among them.
void fill_patterns(Buffer& x) {
  for (int64_t i = 0; i < x.size(); ++i) {
    const std::uint32_t bits = static_cast<std::uint32_t>(i + 1) * 0x9e3779b9u;
    std::memcpy(&x[i], &bits, sizeof bits);
  }
}

bool same_bits(const Buffer& a, const Buffer& b) {
  return std::memcmp(a.data(), b.data(), static_cast<std::size_t>(a.size()) * sizeof(float)) == 0;
}

void test_both_ways(Isa isa, int64_t batch, int64_t channels, int64_t pixels, ThreadPool* pool) {
  const int64_t size = batch * channels * pixels;
  Buffer x(size), y(size, 3), expected(size), back(size, 2);
  fill_patterns(x);
  for (int64_t b = 0; b < batch; ++b)
    for (int64_t c = 0; c < channels; ++c)
      for (int64_t p = 0; p < pixels; ++p) {
        std::memcpy(&expected[(b * pixels + p) * channels + c], &x[(b * channels + c) * pixels + p],
                    sizeof(float));
      }
  const std::string what = std::string(to_string(isa)) + " " + std::to_string(batch) + "x" +
                           std::to_string(channels) + "x" + std::to_string(pixels);
  nchw_to_nhwc(isa, x.data(), y.data(), batch, channels, pixels, pool);
  CHECK_MESSAGE(same_bits(y, expected), "to NHWC: " + what);
  nhwc_to_nchw(isa, y.data(), back.data(), batch, channels, pixels, pool);
  CHECK_MESSAGE(same_bits(back, x), "and back: " + what);
  CHECK_MESSAGE(y.guards_intact() && back.guards_intact(), "beyond its end: " + what);
}

void test_sizes() {
  const std::vector<std::pair<int64_t, int64_t>> chosen{{1, 1},   {3, 224}, {16, 16}, {17, 15},
                                                        {15, 33}, {64, 49}, {65, 63}, {130, 129},
                                                        {1, 100}, {100, 1}, {0, 4},   {256, 196}};
  std::mt19937 random(5);
  std::uniform_int_distribution<int64_t> sizes(1, 150);
  const auto pool = std::make_unique<ThreadPool>(3, false);
  for (const Isa isa : available_isas()) {
    for (const auto& [channels, pixels] : chosen) {
      for (const int64_t batch : {1, 2}) {
        test_both_ways(isa, batch, channels, pixels, nullptr);
        test_both_ways(isa, batch, channels, pixels, pool.get());
      }
    }
    for (int i = 0; i < check::shape_count(60); ++i) {
      const int64_t channels = sizes(random), pixels = sizes(random);
      test_both_ways(isa, 1 + i % 3, channels, pixels, i % 2 == 0 ? nullptr : pool.get());
    }
  }
}

void test_refusals() {
  float x = 0.0f, y = 0.0f;
  CHECK(parse_layout("nchw") == Layout::nchw && parse_layout("nhwc") == Layout::nhwc);
  CHECK_RAISES(parse_layout("chwn"), UnsupportedError, "neither nhwc nor nchw");
  CHECK_RAISES(nchw_to_nhwc(Isa::scalar, &x, &y, 1, -1, 1), ShapeError, "channels is -1");
  CHECK_RAISES(nhwc_to_nchw(Isa::scalar, &x, &y, 1, 1, -7), ShapeError, "pixels is -7");
  constexpr int64_t kHuge = int64_t{1} << 40;
  CHECK_RAISES(nchw_to_nhwc(Isa::scalar, &x, &y, 1, kHuge, kHuge), OverflowError, "nchw_to_nhwc");
}

}  // namespace

int main() {
  test_sizes();
  test_refusals();
  return check::finish();
}
