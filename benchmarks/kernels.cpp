// Speed of the native convolution kernels, as a share of the arithmetic peak.
//
//   bench_kernels [isa] [filter]      rows whose name contains the filter
//
// The peak is probed right before and after each timing, so that a machine shared with others moves
// both; the best of several rounds counts.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/conv_narrow.hpp"
#include "alphaflops/probe.hpp"
#include "alphaflops/threads.hpp"

namespace {

using namespace alphaflops;
using Clock = std::chrono::steady_clock;

constexpr int kRounds = 9;

struct Case {
  const char* name;
  Conv2dShape shape;
};

Conv2dShape shape(std::int64_t size, std::int64_t c_in, std::int64_t c_out, std::int64_t kernel,
                  std::int64_t groups = 1) {
  Conv2dShape s;
  s.h_in = s.w_in = size;
  s.c_in = c_in;
  s.c_out = c_out;
  s.k_h = s.k_w = kernel;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = kernel / 2;
  s.groups = groups;
  return s;
}

double seconds(Clock::time_point since) {
  return std::chrono::duration<double>(Clock::now() - since).count();
}

double probe(double (*peak)(Isa, std::int64_t), Isa isa) {
  const auto begin = Clock::now();
  const double flops = peak(isa, 100000);
  return flops / seconds(begin);
}

struct Speed {
  double rate = 0.0, share = 0.0;
};

// Best share of the peak, and the rate at that time, of a call that does `flops`.
template <class F>
Speed measure(double flops, double (*peak)(Isa, std::int64_t), Isa isa, F&& call) {
  call();
  const auto begin = Clock::now();
  call();
  const int calls = std::max(1, static_cast<int>(2e-3 / seconds(begin)));
  Speed best;
  double top = probe(peak, isa);
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    for (int i = 0; i < calls; ++i) call();
    const double rate = flops * calls / seconds(start);
    best.rate = std::max(best.rate, rate);
    top = std::max(top, probe(peak, isa));
  }
  best.share = best.rate / top;
  return best;
}

void line(const char* name, const char* what, Speed speed) {
  std::printf("%-22s %-20s %7.1f G/s  %5.1f %%\n", name, what, speed.rate * 1e-9,
              100.0 * speed.share);
}

template <class Conv, class X, class W, class Y>
void run(const Case& c, Isa isa, ConvAlgorithm algorithm, double (*peak)(Isa, std::int64_t),
         const char* dtype) {
  const Conv conv(c.shape, isa, algorithm);
  const Conv2dShape& s = c.shape;
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  std::vector<X> x(size(s.batch * s.h_in * s.w_in * s.c_in));
  std::vector<W> w(size(s.c_out * (s.c_in / s.groups) * s.k_h * s.k_w));
  std::vector<Y> y(size(s.batch * s.h_out() * s.w_out() * s.c_out));
  std::vector<W> packed(conv.packed_size());
  std::vector<X> workspace(conv.workspace_size(2));
  conv.pack(w.data(), packed.data());
  const double operations = 2.0 * static_cast<double>(s.macs());
  const std::string name = std::string(dtype) + ", " + std::string(to_string(algorithm));
  line(c.name, name.c_str(), measure(operations, peak, isa, [&] {
         conv.run(x.data(), packed.data(), nullptr, y.data(), workspace.data());
       }));
  ThreadPool pool(2);
  line(c.name, (name + ", both").c_str(), measure(operations, peak, isa, [&] {
         conv.run(pool, x.data(), packed.data(), nullptr, y.data(), workspace.data());
       }));
}

bool has(Isa isa, DType dtype) {
  const std::vector<Isa> isas = available_isas(dtype);
  return std::find(isas.begin(), isas.end(), isa) != isas.end();
}

}  // namespace

int main(int argc, char** argv) {
  const Isa isa = argc > 1 ? parse_isa(argv[1]) : best_isa();
  const char* filter = argc > 2 ? argv[2] : "";
  const Case cases[] = {{"56x56x64->64 k3", shape(56, 64, 64, 3)},
                        {"28x28x128->128 k3", shape(28, 128, 128, 3)},
                        {"14x14x256->256 k3", shape(14, 256, 256, 3)},
                        {"7x7x512->512 k3", shape(7, 512, 512, 3)},
                        {"14x14x1024->256 k1", shape(14, 1024, 256, 1)},
                        {"56x56x256->64 k1", shape(56, 256, 64, 1)},
                        {"56x56x128 k3 g32", shape(56, 128, 128, 3, 32)},
                        {"28x28x256 k3 g32", shape(28, 256, 256, 3, 32)},
                        {"14x14x512 k3 g32", shape(14, 512, 512, 3, 32)}};
  for (const Case& each : cases) {
    if (std::strstr(each.name, filter) == nullptr) continue;
    for (ConvAlgorithm algorithm : algorithms(each.shape, isa)) {
      run<Conv2d, float, float, float>(each, isa, algorithm, peak_fma, "fp32");
      if (algorithm != ConvAlgorithm::direct && algorithm != ConvAlgorithm::gemm) continue;
      if (has(isa, DType::bf16)) {
        run<Conv2dBf16, Bf16, Bf16, float>(each, isa, algorithm, peak_bf16, "bf16");
      }
      if (has(isa, DType::int8)) {
        run<Conv2dInt8, std::uint8_t, std::int8_t, std::int32_t>(each, isa, algorithm, peak_int8,
                                                                 "int8");
      }
    }
  }
}
