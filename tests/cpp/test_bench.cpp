// The microbenchmark: no allocation between clock readings, delay, counts, memory, refusals.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "alphaflops/conv_bench.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/roof.hpp"
#include "alphaflops/system.hpp"
#include "alphaflops/threads.hpp"
#include "check.hpp"

namespace {
std::atomic<long> news{0};

void* counted(std::size_t n) {
  ++news;
  if (void* p = std::malloc(n == 0 ? 1 : n)) return p;
  throw std::bad_alloc();
}
}  // namespace

void* operator new(std::size_t n) { return counted(n); }
void* operator new[](std::size_t n) { return counted(n); }
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }

namespace {

using namespace alphaflops;

Conv2dShape shape(std::int64_t size, std::int64_t channels, std::int64_t kernel) {
  Conv2dShape s;
  s.h_in = s.w_in = size;
  s.c_in = s.c_out = channels;
  s.k_h = s.k_w = kernel;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = kernel / 2;
  return s;
}

long news_of(ConvBench& bench, std::int64_t iterations, bool cold, double delay) {
  const long before = news;
  bench.sample(iterations, cold, delay);
  return news - before;
}

// Reading /proc/stat around a sample allocates, how often depends on the processor's line; calls
// must add nothing to it.
void test_calls_do_not_allocate() {
  const int most = std::min(2, processor_count());
  for (int threads = 1; threads <= most; ++threads) {
    const auto workbench = std::make_shared<ConvWorkbench>(threads);
    for (const DType dtype : {DType::fp32, DType::bf16, DType::int8}) {
      for (const ConvAlgorithm algorithm :
           {ConvAlgorithm::automatic, ConvAlgorithm::gemm, ConvAlgorithm::winograd4}) {
        const bool is_winograd = algorithm == ConvAlgorithm::winograd4;
        if (is_winograd && dtype != DType::fp32) continue;
        const Layout layout = is_winograd ? Layout::nchw : Layout::nhwc;
        ConvBench bench(shape(14, 24, 3), workbench,
                        {.dtype = dtype, .algorithm = algorithm, .layout = layout});
        bench.warm_up();
        for (const bool cold : {false, true}) {
          const long few = news_of(bench, 1, cold, 0.0);
          CHECK(news_of(bench, 60, cold, 0.0) < few + 30);
          CHECK(news_of(bench, 60, cold, 0.05) < few + 30);
        }
        CHECK(bench.checksum() != 0.0);
        CHECK(bench.checksum() == bench.checksum());
      }
    }
  }
}

struct Way {
  ConvBench& bench;
  bool cold = false;
  double delay = 0.0;
};

// The shortest call of each. They take turns, as neighbours slow a processor down for a while, and
// samples are short, as a busy machine leaves no long one alone.
std::vector<double> fastest(const std::vector<Way>& ways) {
  std::vector<double> best(ways.size(), 1e9);
  for (int i = 0; i < 100; ++i) {
    for (std::size_t k = 0; k < ways.size(); ++k) {
      const Sample sample = ways[k].bench.sample(3, ways[k].cold, ways[k].delay);
      best[k] = std::min(best[k], sample.time_s);
    }
  }
  return best;
}

// Instrumented arithmetic takes so long that where its data come from hardly shows.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr double least_cold = 1.0;
#else
constexpr double least_cold = 1.2;
#endif

void test_cold_and_delay_take_longer() {
  Conv2dShape moving = shape(28, 192, 3);  // depthwise: much to move, little to do
  moving.groups = 192;
  ConvBench bench(moving, std::make_shared<ConvWorkbench>());
  CHECK(bench.warm_up() > 0.0);
  const std::vector<double> times = fastest({{bench}, {bench, true}, {bench, false, 0.5}});
  CHECK(times[1] > least_cold * times[0]);
  const double ratio = times[2] / times[0];
  CHECK_MESSAGE(ratio > 1.4 && ratio < 1.7, "delayed by half: " + std::to_string(ratio));
  CHECK_RAISES(bench.sample(0), ShapeError, "at least 1");
  CHECK_RAISES(bench.sample(1, false, -0.1), ShapeError, "delay");
}

void test_automatic_measures_and_remembers() {
  const auto workbench = std::make_shared<ConvWorkbench>(1, 1);
  for (const DType dtype : {DType::fp32, DType::bf16, DType::int8}) {
    const Conv2dShape s = shape(12, 40, 3);
    ConvBench first(s, workbench, {.dtype = dtype}), second(s, workbench, {.dtype = dtype});
    CHECK(first.algorithm() == ConvAlgorithm::automatic);
    first.warm_up();
    second.sample(1);
    CHECK(first.algorithm() != ConvAlgorithm::automatic);
    CHECK(second.algorithm() == first.algorithm());
    CHECK(tune(s, workbench, {.dtype = dtype}) == first.algorithm());
    const ConvAlgorithm exact = tune(s, workbench, {.dtype = dtype, .winograd = false});
    CHECK(exact == ConvAlgorithm::direct || exact == ConvAlgorithm::gemm);
  }
  // Only direct and gemm do this shape as well, and both waste most of their work on it.
  Conv2dShape depthwise = shape(28, 192, 3);
  depthwise.groups = 192;
  CHECK(tune(depthwise, workbench) == ConvAlgorithm::depthwise);
  // 2.3 times as many multiplications can hardly be made up for.
  const ConvAlgorithm wide = tune(shape(28, 128, 3), workbench);
  CHECK(wide == ConvAlgorithm::winograd4 || wide == ConvAlgorithm::winograd2);
  CHECK_RAISES(tune(shape(224, 512, 3), std::make_shared<ConvWorkbench>(1, 0, 1 << 20)), Error,
               "needs 2");
}

void test_layout_is_a_part_of_the_time() {
  const auto workbench = std::make_shared<ConvWorkbench>();
  const ConvBenchOptions plain{.algorithm = ConvAlgorithm::gemm};
  ConvBenchOptions reordered = plain;
  reordered.layout = Layout::nchw;
  const Conv2dShape s = shape(56, 64, 1);
  ConvBench nhwc(s, workbench, plain), nchw(s, workbench, reordered);
  nhwc.warm_up();
  nchw.warm_up();
  for (const bool cold : {false, true}) {
    CHECK(nhwc.sample(3, cold).reorder_s == 0.0);
    const Sample sample = nchw.sample(3, cold);
    CHECK(sample.reorder_s > 0.0 && sample.reorder_s < sample.time_s);
  }
  bool is_slower = false;
  for (int attempt = 0; attempt < 5 && !is_slower; ++attempt) {  // a neighbour may bend one
    const std::vector<double> times = fastest({{nhwc}, {nchw}});
    is_slower = times[1] > times[0];
  }
  CHECK(is_slower);
  CHECK(nchw.compulsory_bytes() == nhwc.compulsory_bytes());
  CHECK(nchw.memory_bytes() >= nhwc.memory_bytes() + 2 * 56 * 56 * 64 * 4);
}

void test_fewer_threads_than_the_workbench_has() {
  if (processor_count() < 2) return;
  const std::vector<int> before = thread_affinity();
  {
    const auto workbench = std::make_shared<ConvWorkbench>(2);
    ConvBench one(shape(14, 32, 3), workbench, {.threads = 1});
    ConvBench two(shape(14, 32, 3), workbench);
    for (int i = 0; i < 3; ++i) {
      CHECK(one.sample(2).time_s > 0.0);
      CHECK(two.sample(2).time_s > 0.0);
    }
    CHECK(thread_affinity().size() == 1);
  }
  CHECK(thread_affinity() == before);
}

void test_macs_without_padding() {
  // 3x3, pad 1: each axis has 14 * 3 pairs less the two that fall outside.
  const Conv2dShape s = shape(14, 8, 3);
  CHECK(macs_without_padding(s) == (14 * 3 - 2) * (14 * 3 - 2) * 8 * 8);
  CHECK(macs_without_padding(shape(14, 8, 1)) == shape(14, 8, 1).macs());
  for (std::int64_t stride = 1; stride <= 3; ++stride) {
    for (std::int64_t dilation = 1; dilation <= 3; ++dilation) {
      Conv2dShape d = shape(11, 4, 3);
      d.stride_h = d.stride_w = stride;
      d.dilation_h = d.dilation_w = dilation;
      d.pad_top = 2;
      d.pad_right = 0;
      std::int64_t counted_macs = 0;
      for (std::int64_t p = 0; p < d.h_out(); ++p)
        for (std::int64_t q = 0; q < d.w_out(); ++q)
          for (std::int64_t r = 0; r < 3; ++r)
            for (std::int64_t c = 0; c < 3; ++c) {
              const std::int64_t y = p * stride + r * dilation - d.pad_top;
              const std::int64_t x = q * stride + c * dilation - d.pad_left;
              if (y >= 0 && y < 11 && x >= 0 && x < 11) counted_macs += 4 * 4;
            }
      CHECK(macs_without_padding(d) == counted_macs);
    }
  }
}

void test_refusals() {
  const auto workbench = std::make_shared<ConvWorkbench>(1, 0, 1 << 20);
  CHECK_RAISES(ConvBench(shape(224, 512, 3), workbench), Error, "needs 2");
  const auto refused = [&](std::int64_t kernel, const ConvBenchOptions& options) {
    return ConvBench(shape(14, 8, kernel), workbench, options);
  };
  CHECK_RAISES(refused(5, {.algorithm = ConvAlgorithm::winograd2}), UnsupportedError, "3x3");
  CHECK_RAISES(refused(1, {.dtype = DType::fp16}), UnsupportedError, "fp16");
  CHECK_RAISES(refused(1, {.dtype = DType::bf16, .layout = Layout::nchw}), UnsupportedError,
               "nchw takes fp32, not bf16");
  CHECK_RAISES(refused(1, {.threads = 2}), ShapeError, "from 1 to the workbench's 1");
  CHECK_RAISES(refused(1, {.threads = -1}), ShapeError, "threads is -1");
  CHECK_RAISES(ConvWorkbench(processor_count() + 1), UnsupportedError, "processors");
  CHECK_RAISES(ConvWorkbench(0), ShapeError, "threads is 0");
  CHECK(available_memory_bytes() > (1 << 20));
}

void test_probes() {
  CHECK(probe_rate(DType::fp32, Isa::scalar, 1, 0.01) > 1e7);  // 2e8 under sanitizers
  for (const Access access : {Access::read, Access::write, Access::triad}) {
    CHECK(parse_access(to_string(access)) == access);
    CHECK(probe_bandwidth(access, Isa::scalar, 16 << 10, 1, 0.005) > 1e8);
  }
  CHECK(probe_call_s(best_isa()) > 0.0);
  CHECK_RAISES(probe_bandwidth(Access::read, Isa::scalar, 8, 1, 0.01), ShapeError, "line");
  CHECK_RAISES(probe_rate(DType::tf32, Isa::scalar), UnsupportedError, "tf32");
}

}  // namespace

int main() {
  test_calls_do_not_allocate();
  test_cold_and_delay_take_longer();
  test_automatic_measures_and_remembers();
  test_layout_is_a_part_of_the_time();
  test_fewer_threads_than_the_workbench_has();
  test_macs_without_padding();
  test_refusals();
  test_probes();
  return check::finish();
}
