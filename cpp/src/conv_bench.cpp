#include "alphaflops/conv_bench.hpp"

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>

#include "alphaflops/conv_narrow.hpp"
#include "alphaflops/error.hpp"
#include "clock.hpp"
#include "conv_workbench.hpp"
#include "watch.hpp"

namespace alphaflops {
namespace {

std::int64_t floats_of(std::int64_t elements, std::int64_t size) {
  const std::int64_t bytes = checked_mul(elements, size, "conv2d bytes");
  return round_up_to_line((bytes + float_bytes - 1) / float_bytes);
}

std::int64_t signed_size(std::size_t n) { return static_cast<std::int64_t>(n); }

int threads_of(const ConvBenchOptions& options, const ConvWorkbench& workbench) {
  if (options.threads == 0) return workbench.threads();
  if (options.threads >= 1 && options.threads <= workbench.threads()) return options.threads;
  throw ShapeError("threads is " + std::to_string(options.threads) +
                   "; it must be from 1 to the workbench's " + std::to_string(workbench.threads()));
}

}  // namespace

struct ConvBench::Plan {
  using Run = std::function<void(const float* input, const float* weights, float* output,
                                 float* workspace, ThreadPool* pool)>;

  Plan(const Conv2dShape& s, std::shared_ptr<ConvWorkbench> bench, const ConvBenchOptions& wanted)
      : shape(s), workbench(std::move(bench)), options(wanted) {
    options.threads = threads_of(options, *workbench);
    options.isa = options.isa.value_or(best_isa(options.dtype));  // raises for some dtypes
    if (options.layout == Layout::nchw && options.dtype != DType::fp32) {
      throw UnsupportedError("conv2d: layout nchw takes fp32, not " +
                             std::string(to_string(options.dtype)) + "; use nhwc");
    }
    if (options.dtype == DType::bf16) {
      plan<Conv2dBf16, Bf16, Bf16, float>();
    } else if (options.dtype == DType::int8) {
      plan<Conv2dInt8, std::uint8_t, std::int8_t, std::int32_t>();
    } else {
      plan<Conv2d, float, float, float>();
    }
    fit();
  }

  template <class Conv, class X, class W, class Y>
  void plan() {
    const Conv2dShape& s = shape;
    Conv conv(s, *options.isa, options.algorithm);
    const char* what = "conv2d elements";
    const auto product = [&](std::initializer_list<std::int64_t> factors) {
      std::int64_t n = 1;
      for (const std::int64_t each : factors) n = checked_mul(n, each, what);
      return n;
    };
    const std::int64_t inputs = product({s.batch, s.h_in, s.w_in, s.c_in});
    const std::int64_t outputs = product({s.batch, s.h_out(), s.w_out(), s.c_out});
    out_pixels = s.h_out() * s.w_out();
    const std::int64_t weights = product({s.c_out, s.c_in / s.groups, s.k_h, s.k_w});
    compulsory_bytes = checked_add(
        checked_add(inputs * signed_size(sizeof(X)), outputs * signed_size(sizeof(Y)), what),
        weights * signed_size(sizeof(W)), what);
    input_floats = floats_of(inputs, sizeof(X));
    output_floats = floats_of(outputs, sizeof(Y));
    weight_floats = floats_of(signed_size(conv.packed_size()), sizeof(W));
    workspace_floats = floats_of(signed_size(conv.workspace_size(options.threads)), sizeof(X));
    if (options.layout == Layout::nchw) {
      turned_input_floats = input_floats + gap;
      turned_output_floats = output_floats + gap;
    }
    value = [](const float* y, std::int64_t i) {
      return static_cast<double>(reinterpret_cast<const Y*>(y)[i]);
    };
    convolve = [conv](const float* x, const float* w, float* y, float* scratch,
                      ThreadPool* threads) {
      const auto* input = reinterpret_cast<const X*>(x);
      const auto* packed = reinterpret_cast<const W*>(w);
      auto* output = reinterpret_cast<Y*>(y);
      auto* space = reinterpret_cast<X*>(scratch);
      if (threads != nullptr) {
        conv.run(*threads, input, packed, nullptr, output, space);
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
  std::int64_t scratch_floats() const {
    return output_floats + gap + turned_input_floats + turned_output_floats + workspace_floats;
  }
  std::int64_t memory_bytes() const {
    std::int64_t floats = 2 * gap;
    for (const std::int64_t each : {input_floats, weight_floats, output_floats, workspace_floats,
                                    turned_input_floats, turned_output_floats}) {
      floats = checked_add(floats, each, "conv2d memory");
    }
    return checked_mul(floats, float_bytes, "conv2d memory bytes");
  }

  ConvWorkbench::Blocks& blocks() const { return *workbench->blocks_; }
  const float* input() const { return blocks().numbers.data(); }
  const float* weights() const { return blocks().numbers.data() + input_floats + gap; }
  float* output() const { return blocks().scratch.data(); }
  float* turned_input() const { return output() + output_floats + gap; }
  float* turned_output() const { return turned_input() + turned_input_floats; }
  float* workspace() const { return turned_output() + turned_output_floats; }

  /// Memory and threads, before anything is timed.
  void ready() {
    blocks().reserve(number_floats(), scratch_floats());
    pool = blocks().pool(options.threads);
  }

  void call() {
    if (options.layout == Layout::nhwc) {
      convolve(input(), weights(), output(), workspace(), pool);
    } else {
      reorder_and_convolve();
    }
#if defined(__GNUC__)
    asm volatile("" : : "r"(output()) : "memory");  // as if somebody read the output here
#endif
  }

  void reorder_and_convolve() {
    const Conv2dShape& s = shape;
    const Clock::time_point begin = Clock::now();
    nchw_to_nhwc(*options.isa, input(), turned_input(), s.batch, s.c_in, s.h_in * s.w_in, pool);
    const Clock::time_point turned = Clock::now();
    convolve(turned_input(), weights(), turned_output(), workspace(), pool);
    const Clock::time_point convolved = Clock::now();
    nhwc_to_nchw(*options.isa, turned_output(), output(), s.batch, s.c_out, out_pixels, pool);
    const Clock::time_point end = Clock::now();
    reorder_s += std::max(0.0, seconds((turned - begin) + (end - convolved)) - 2 * clock_cost_s());
  }

  void evict() const {
    blocks().evict(input(), input_floats);
#if defined(__x86_64__)
    blocks().evict(weights(), weight_floats);
    blocks().evict(output(), output_floats);
#endif
  }

  /// Seconds of `calls` together.
  double time(std::int64_t calls, double delay) {
    const Clock::time_point before = Clock::now();
    for (std::int64_t i = 0; i < calls; ++i) call();
    Clock::time_point after = Clock::now();
    if (delay > 0) {
      const Clock::time_point until =
          after + std::chrono::duration_cast<Clock::duration>(delay * (after - before));
      while (after < until) after = Clock::now();
    }
    const std::int64_t readings = 1 + (options.layout == Layout::nchw ? 4 * calls : 0);
    const double read_s = static_cast<double>(readings) * clock_cost_s();
    return std::max(0.0, seconds(after - before) - read_s);
  }

  Conv2dShape shape;
  std::shared_ptr<ConvWorkbench> workbench;
  ConvBenchOptions options;
  Run convolve;
  ThreadPool* pool = nullptr;
  double (*value)(const float* output, std::int64_t i) = nullptr;  // as a number
  std::int64_t input_floats = 0, weight_floats = 0, output_floats = 0, workspace_floats = 0;
  std::int64_t turned_input_floats = 0, turned_output_floats = 0;  // NHWC copies, with a gap each
  std::int64_t out_pixels = 0;
  std::int64_t compulsory_bytes = 0;
  double reorder_s = 0.0;  // since it was last set to zero
  double checksum = 0.0;
};

ConvBench::ConvBench(const Conv2dShape& shape, std::shared_ptr<ConvWorkbench> workbench,
                     const ConvBenchOptions& options)
    : plan_(std::make_unique<Plan>(shape, std::move(workbench), options)) {}
ConvBench::~ConvBench() = default;
ConvBench::ConvBench(ConvBench&&) noexcept = default;
ConvBench& ConvBench::operator=(ConvBench&&) noexcept = default;

void ConvBench::choose() {
  if (plan_->options.algorithm != ConvAlgorithm::automatic) return;
  ConvBenchOptions options = plan_->options;
  options.algorithm = tune(plan_->shape, plan_->workbench, options);
  plan_ = std::make_unique<Plan>(plan_->shape, plan_->workbench, options);
}

double ConvBench::warm_up() {
  constexpr double worth_repeating_s = 2e-3;
  choose();
  Plan& plan = *plan_;
  plan.ready();
  double call_s = plan.time(1, 0.0);
  for (int i = 0; i < 3 && call_s < worth_repeating_s; ++i) call_s = plan.time(1, 0.0);
  return call_s;
}

Sample ConvBench::sample(std::int64_t iterations, bool cold, double delay) {
  require_iterations(iterations);
  if (!(delay >= 0 && delay <= 10)) {
    throw ShapeError("a delay of " + std::to_string(delay) + "; give a share from 0 to 10");
  }
  choose();
  Plan& plan = *plan_;
  plan.ready();
  clock_cost_s();  // measured at the first call
  plan.call();
  plan.reorder_s = 0.0;
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
  Sample sample = watch.finish(total_s, iterations);
  sample.reorder_s = plan.reorder_s / static_cast<double>(iterations);
  const std::int64_t step = std::max<std::int64_t>(1, plan.output_floats / 64);
  for (std::int64_t i = 0; i < plan.output_floats; i += step) {
    plan.checksum += plan.value(plan.output(), i);
  }
  return sample;
}

ConvAlgorithm ConvBench::algorithm() const { return plan_->options.algorithm; }
std::int64_t ConvBench::memory_bytes() const { return plan_->memory_bytes(); }
std::int64_t ConvBench::compulsory_bytes() const { return plan_->compulsory_bytes; }
double ConvBench::checksum() const { return plan_->checksum; }

}  // namespace alphaflops
