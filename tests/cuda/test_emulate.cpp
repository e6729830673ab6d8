// The emulation itself: what it computes, and that it finds the mistakes it is there to find.
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <vector>

#include "../../cuda/kernels/device.cuh"
#include "../cpp/check.hpp"

namespace {

using namespace alphaflops::cuda;

struct Sum {
  const float* x;
  float* y;
  int n;
  bool barrier;
};

// Each thread writes an element to shared memory and reads its mirror image.
void mirror(Sum p) {
  auto* tile = static_cast<float*>(af_dynamic_shared());
  const int i = static_cast<int>(threadIdx.x);
  tile[i] = p.x[i];
  if (p.barrier) __syncthreads();
  p.y[i] = tile[p.n - 1 - i];
}

void warp_sum(Sum p) {
  float x = p.x[threadIdx.x];
  for (int bits = 16; bits > 0; bits /= 2) x += __shfl_xor_sync(~0u, x, bits);
  p.y[threadIdx.x] = x;
}

void beyond(Sum p) { static_cast<float*>(af_dynamic_shared())[p.n] = 0.0f; }

void some_leave(Sum p) {
  if (threadIdx.x < 3) return;
  __syncthreads();
  p.y[0] = 0.0f;
}

void some_shuffle(Sum p) {
  if (threadIdx.x % 32 < 3) return;
  p.y[0] = __shfl_xor_sync(~0u, 1.0f, 1);
}

void copy_ahead(Sum p) {
  auto* tile = static_cast<float*>(af_dynamic_shared());
  const int i = static_cast<int>(threadIdx.x);
  emulate::copy_async(tile + i, p.x + i, 4, 4);
  emulate::copy_commit();
  if (p.barrier) emulate::copy_wait(0);
  p.y[i] = tile[i];
}

void conversions() {
  for (int bits = 0; bits < 0x10000; ++bits) {
    const auto h = static_cast<unsigned short>(bits);
    const float x = to_float(half_t{h});
    if (std::isnan(x)) continue;
    CHECK(from_float<half_t>(x).bits == h);
    const float b = to_float(bf16_t{h});
    if (!std::isnan(b)) CHECK(from_float<bf16_t>(b).bits == h);
  }
  CHECK(from_float<half_t>(2049.0f).bits == from_float<half_t>(2048.0f).bits);  // ties to even
  CHECK(from_float<half_t>(2051.0f).bits == from_float<half_t>(2052.0f).bits);
  CHECK(from_float<half_t>(65519.0f).bits == 0x7bff && from_float<half_t>(65520.0f).bits == 0x7c00);
  CHECK(from_float<half_t>(std::ldexp(1.0f, -25)).bits == 0);
  CHECK(from_float<half_t>(std::ldexp(1.5f, -25)).bits == 1);
  CHECK(from_float<bf16_t>(257.0f).bits == from_float<bf16_t>(256.0f).bits);
  CHECK(from_float<bf16_t>(259.0f).bits == from_float<bf16_t>(260.0f).bits);
  for (unsigned d : {1u, 2u, 3u, 5u, 7u, 12u, 224u, 641u, 65535u, 0x7fffffffu}) {
    const FastDivisor by = make_divisor(d);
    for (unsigned n : {0u, 1u, d - 1, d, d + 1, 12345u, 0x7ffffffeu, 0x7fffffffu}) {
      if (n <= 0x7fffffffu) CHECK(divide(n, by) == n / d);
    }
  }
}

}  // namespace

int main() {
  constexpr int n = 96;
  std::vector<float> x(n), y(n);
  for (int i = 0; i < n; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i);
  const std::size_t bytes = n * sizeof(float);
  const auto mirrored = [&] {
    int right = 0;
    for (int i = 0; i < n; ++i)
      right += y[static_cast<std::size_t>(i)] == static_cast<float>(n - 1 - i);
    return right == n;
  };
  int missed = 0, late = 0;
  for (unsigned seed = 0; seed < 50; ++seed) {
    emulate::block().seed(seed);
    emulate::launch(mirror, {1}, {n}, bytes, Sum{x.data(), y.data(), n, true});
    CHECK(mirrored());
    emulate::launch(mirror, {1}, {n}, bytes, Sum{x.data(), y.data(), n, false});
    missed += mirrored();
    emulate::launch(copy_ahead, {1}, {n}, bytes, Sum{x.data(), y.data(), n, true});
    CHECK(y == x);
    emulate::launch(copy_ahead, {1}, {n}, bytes, Sum{x.data(), y.data(), n, false});
    late += y == x;
  }
  CHECK(missed == 0);
  CHECK(late == 0);

  emulate::launch(warp_sum, {1}, {n}, 0, Sum{x.data(), y.data(), n, true});
  CHECK(y[0] == 496.0f && y[31] == 496.0f && y[32] == 1520.0f && y[95] == 2544.0f);

  const Sum p{x.data(), y.data(), n, true};
  CHECK_RAISES(emulate::launch(beyond, {1}, {n}, bytes, p), std::runtime_error,
               "beyond the 384 bytes");
  CHECK_RAISES(emulate::launch(some_leave, {1}, {n}, 0, p), std::runtime_error,
               "93 of 96 threads wait");
  CHECK_RAISES(emulate::launch(some_shuffle, {1}, {n}, 0, p), std::runtime_error,
               "87 of 96 threads wait");
  CHECK_RAISES(emulate::launch(mirror, {1}, {1025}, 0, p), std::runtime_error, "1025 threads");
  conversions();
  return check::finish();
}
