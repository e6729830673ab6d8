#include "alphaflops/conv_bench.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <functional>
#include <initializer_list>
#include <span>
#include <string>
#include <utility>

#include "alphaflops/conv_narrow.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/system.hpp"
#include "alphaflops/threads.hpp"
#include "memory.hpp"
#include "watch.hpp"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace alphaflops {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t float_bytes = sizeof(float);
constexpr std::int64_t line_bytes = line_floats * float_bytes;

double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

std::int64_t floats_of(std::int64_t elements, std::int64_t size) {
  const std::int64_t bytes = checked_mul(elements, size, "conv2d bytes");
  return round_up_to_line((bytes + float_bytes - 1) / float_bytes);
}

std::int64_t signed_size(std::size_t n) { return static_cast<std::int64_t>(n); }

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

// Inputs and weights of all benches are the same random numbers: packed weights are numbers in some
// order. Address space for the limit is reserved, so that nothing moves.
struct ConvWorkbench::Blocks {
  Blocks(int wanted_threads, std::uint64_t seed_, std::int64_t bytes)
      : threads(wanted_threads),
        seed(seed_),
        limit_bytes(bytes),
        numbers(bytes / float_bytes, "weights and inputs"),
        scratch(bytes / float_bytes, "outputs and workspace") {
    if (threads > 1) pool = std::make_unique<ThreadPool>(threads);
#if !defined(__x86_64__)
    eviction = Memory(std::max<std::int64_t>(2 * system_info().l3_bytes, 64 << 20) / float_bytes,
                      "eviction");
#endif
  }

  void reserve(std::int64_t number_floats, std::int64_t scratch_floats) {
    const std::int64_t limit = limit_bytes / float_bytes;
    if (std::max(filled, number_floats) + std::max(used, scratch_floats) > limit) {
      numbers.discard(number_floats);
      scratch.discard(scratch_floats);
      filled = std::min(filled, number_floats);
      used = std::min(used, scratch_floats);
    }
    if (number_floats > filled) {
      fill_any({numbers.data() + filled, static_cast<std::size_t>(number_floats - filled)},
               seed * 0x9e3779b97f4a7c15ULL + static_cast<std::uint64_t>(filled) + 1);
      filled = number_floats;
    }
    if (scratch_floats > used) {
      std::fill(scratch.data() + used, scratch.data() + scratch_floats, 0.0F);
      used = scratch_floats;
    }
  }

  /// Removes a buffer from every level of cache.
  void evict(const float* data, std::int64_t floats) {
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

  int threads;
  std::uint64_t seed;
  std::int64_t limit_bytes;
  Memory numbers, scratch, eviction;
  std::int64_t filled = 0, used = 0;  // floats
  std::unique_ptr<ThreadPool> pool;
};

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

struct ConvBench::Plan {
  using Run = std::function<void(const float* input, const float* weights, float* output,
                                 float* workspace, ThreadPool* pool)>;

  Plan(const Conv2dShape& s, std::shared_ptr<ConvWorkbench> bench, DType dtype, Isa isa,
       ConvAlgorithm wanted)
      : workbench(std::move(bench)) {
    if (dtype == DType::fp32) {
      plan<Conv2d, float, float, float>(s, isa, wanted);
    } else if (dtype == DType::bf16) {
      plan<Conv2dBf16, Bf16, Bf16, float>(s, isa, wanted);
    } else if (dtype == DType::int8) {
      plan<Conv2dInt8, std::uint8_t, std::int8_t, std::int32_t>(s, isa, wanted);
    } else {
      available_isas(dtype);  // raises
    }
    fit();
  }

  template <class Conv, class X, class W, class Y>
  void plan(const Conv2dShape& s, Isa isa, ConvAlgorithm wanted) {
    Conv conv(s, isa, wanted);
    algorithm = conv.algorithm();
    const char* what = "conv2d elements";
    const auto product = [&](std::initializer_list<std::int64_t> factors) {
      std::int64_t n = 1;
      for (const std::int64_t each : factors) n = checked_mul(n, each, what);
      return n;
    };
    const std::int64_t inputs = product({s.batch, s.h_in, s.w_in, s.c_in});
    const std::int64_t outputs = product({s.batch, s.h_out(), s.w_out(), s.c_out});
    const std::int64_t weights = product({s.c_out, s.c_in / s.groups, s.k_h, s.k_w});
    compulsory_bytes = checked_add(
        checked_add(inputs * signed_size(sizeof(X)), outputs * signed_size(sizeof(Y)), what),
        weights * signed_size(sizeof(W)), what);
    input_floats = floats_of(inputs, sizeof(X));
    output_floats = floats_of(outputs, sizeof(Y));
    weight_floats = floats_of(signed_size(conv.packed_size()), sizeof(W));
    workspace_floats = floats_of(signed_size(conv.workspace_size(workbench->threads())), sizeof(X));
    value = [](const float* y, std::int64_t i) {
      return static_cast<double>(reinterpret_cast<const Y*>(y)[i]);
    };
    run = [conv](const float* x, const float* w, float* y, float* scratch, ThreadPool* pool) {
      const auto* input = reinterpret_cast<const X*>(x);
      const auto* packed = reinterpret_cast<const W*>(w);
      auto* output = reinterpret_cast<Y*>(y);
      auto* space = reinterpret_cast<X*>(scratch);
      if (pool != nullptr) {
        conv.run(*pool, input, packed, nullptr, output, space);
      } else {
        conv.run(input, packed, nullptr, output, space);
      }
    };
  }

  void fit() const {
    const std::int64_t limit = workbench->limit_bytes();
    if (memory_bytes() <= limit) return;
    throw Error("conv2d: needs " + std::to_string(memory_bytes()) +
                " bytes of weights, activations and workspace; " + std::to_string(limit) +
                " are available, use a smaller batch or extent");
  }

  // Buffers are some lines apart, so that they do not begin in the same cache sets.
  static constexpr std::int64_t gap = 11 * line_floats;
  std::int64_t number_floats() const { return input_floats + gap + weight_floats; }
  std::int64_t scratch_floats() const { return output_floats + gap + workspace_floats; }
  std::int64_t memory_bytes() const {
    std::int64_t floats = 2 * gap;
    for (const std::int64_t each : {input_floats, weight_floats, output_floats, workspace_floats}) {
      floats = checked_add(floats, each, "conv2d memory");
    }
    return checked_mul(floats, float_bytes, "conv2d memory bytes");
  }

  ConvWorkbench::Blocks& blocks() const { return *workbench->blocks_; }
  const float* input() const { return blocks().numbers.data(); }
  const float* weights() const { return blocks().numbers.data() + input_floats + gap; }
  float* output() const { return blocks().scratch.data(); }
  float* workspace() const { return blocks().scratch.data() + output_floats + gap; }

  void call() const {
    run(input(), weights(), output(), workspace(), blocks().pool.get());
#if defined(__GNUC__)
    asm volatile("" : : "r"(output()) : "memory");  // as if somebody read the output here
#endif
  }

  void evict() const {
    blocks().evict(input(), input_floats);
#if defined(__x86_64__)
    blocks().evict(weights(), weight_floats);
    blocks().evict(output(), output_floats);
#endif
  }

  /// Seconds of `calls` together.
  double time(std::int64_t calls, double delay) const {
    const Clock::time_point before = Clock::now();
    for (std::int64_t i = 0; i < calls; ++i) call();
    Clock::time_point after = Clock::now();
    if (delay > 0) {
      const Clock::time_point until =
          after + std::chrono::duration_cast<Clock::duration>(delay * (after - before));
      while (after < until) after = Clock::now();
    }
    return std::max(0.0, seconds(after - before) - clock_cost_s());
  }

  std::shared_ptr<ConvWorkbench> workbench;
  Run run;
  double (*value)(const float* output, std::int64_t i) = nullptr;  // as a number
  ConvAlgorithm algorithm = ConvAlgorithm::automatic;
  std::int64_t input_floats = 0, weight_floats = 0, output_floats = 0, workspace_floats = 0;
  std::int64_t compulsory_bytes = 0;
  double checksum = 0.0;
};

ConvBench::ConvBench(const Conv2dShape& shape, std::shared_ptr<ConvWorkbench> workbench,
                     DType dtype, Isa isa, ConvAlgorithm algorithm)
    : plan_(std::make_unique<Plan>(shape, std::move(workbench), dtype, isa, algorithm)) {}
ConvBench::~ConvBench() = default;
ConvBench::ConvBench(ConvBench&&) noexcept = default;
ConvBench& ConvBench::operator=(ConvBench&&) noexcept = default;

double ConvBench::warm_up() {
  constexpr double worth_repeating_s = 2e-3;
  Plan& plan = *plan_;
  plan.blocks().reserve(plan.number_floats(), plan.scratch_floats());
  double call_s = plan.time(1, 0.0);
  for (int i = 0; i < 3 && call_s < worth_repeating_s; ++i) call_s = plan.time(1, 0.0);
  return call_s;
}

Sample ConvBench::sample(std::int64_t iterations, bool cold, double delay) {
  require_iterations(iterations);
  if (!(delay >= 0 && delay <= 10)) {
    throw ShapeError("a delay of " + std::to_string(delay) + "; give a share from 0 to 10");
  }
  Plan& plan = *plan_;
  plan.blocks().reserve(plan.number_floats(), plan.scratch_floats());
  clock_cost_s();  // measured at the first call
  plan.call();
  const Watch watch;
  double total_s = 0.0;
  if (cold) {
    for (std::int64_t i = 0; i < iterations; ++i) {
      plan.evict();
      total_s += plan.time(1, delay);
    }
  } else {
    total_s = plan.time(iterations, delay);
  }
  const Sample sample = watch.finish(total_s, iterations);
  const std::int64_t step = std::max<std::int64_t>(1, plan.output_floats / 64);
  for (std::int64_t i = 0; i < plan.output_floats; i += step) {
    plan.checksum += plan.value(plan.output(), i);
  }
  return sample;
}

ConvAlgorithm ConvBench::algorithm() const { return plan_->algorithm; }
std::int64_t ConvBench::memory_bytes() const { return plan_->memory_bytes(); }
std::int64_t ConvBench::compulsory_bytes() const { return plan_->compulsory_bytes; }
double ConvBench::checksum() const { return plan_->checksum; }

}  // namespace alphaflops
