#include "alphaflops/roof.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/probe.hpp"
#include "alphaflops/system.hpp"
#include "alphaflops/threads.hpp"
#include "clock.hpp"
#include "memory.hpp"
#include "rate.hpp"

namespace alphaflops {
namespace {

// A run of a probe is about so long: far above the clock's steps, below a time slice.
constexpr double run_bytes = 1 << 20;

/// Runs `work(thread)` on every thread; what they have done together.
class Team {
 public:
  explicit Team(int threads) : done_(static_cast<std::size_t>(std::max(threads, 1)) * stride) {
    if (threads > processor_count()) {
      throw UnsupportedError("threads is " + std::to_string(threads) + "; this process may use " +
                             std::to_string(processor_count()) + " processors");
    }
    if (threads != 1) pool_ = std::make_unique<ThreadPool>(threads);
  }

  template <typename Work>
  double run(const Work& work) {
    if (!pool_) return work(0);
    pool_->run(
        [&](int thread) { done_[static_cast<std::size_t>(thread) * stride] = work(thread); });
    double sum = 0.0;
    for (const double each : done_) sum += each;
    return sum;
  }

 private:
  static constexpr std::size_t stride = 8;  // a cache line a thread
  std::vector<double> done_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace

std::string_view to_string(Access access) {
  switch (access) {
    case Access::read: return "read";
    case Access::write: return "write";
    case Access::triad: return "triad";
  }
  return "unknown";
}

Access parse_access(std::string_view name) {
  for (const Access each : {Access::read, Access::write, Access::triad}) {
    if (to_string(each) == name) return each;
  }
  throw UnsupportedError("access '" + std::string(name) + "' is none of read, write, triad");
}

double probe_rate(DType dtype, Isa isa, int threads, double duration_s) {
  constexpr std::int64_t iterations = 20'000;
  const auto peak = dtype == DType::bf16 ? peak_bf16 : dtype == DType::int8 ? peak_int8 : peak_fma;
  available_isas(dtype);  // raises for a dtype without kernels
  Team team(threads);
  return best_rate(duration_s,
                   [&] { return team.run([&](int) { return peak(isa, iterations); }); });
}

double probe_bandwidth(Access access, Isa isa, std::int64_t bytes, int threads, double duration_s) {
  // Three arrays for the triad, one otherwise, a line apart from each other's sets.
  const std::int64_t arrays = access == Access::triad ? 3 : 1;
  const std::int64_t floats = bytes / float_bytes / threads / arrays / line_floats * line_floats;
  if (floats < line_floats) {
    throw ShapeError("bandwidth probe: " + std::to_string(bytes) + " bytes are less than a line a" +
                     " thread and array; give more");
  }
  const std::int64_t step = floats + 5 * line_floats;
  Team team(threads);
  const Memory block(step * arrays * threads, "bandwidth probe");
  stream_fill(isa, block.data(), 1.0F, block.size());
  const double pass_bytes = static_cast<double>(floats * arrays * float_bytes);
  const int passes = static_cast<int>(std::max(1.0, run_bytes / pass_bytes));
  return best_rate(duration_s, [&] {
    return team.run([&](int thread) {
      float* a = block.data() + thread * arrays * step;
      volatile double sink = 0.0;  // keeps the result from being optimised away
      for (int pass = 0; pass < passes; ++pass) {
        switch (access) {
          case Access::read: sink = stream_sum(isa, a, floats); break;
          case Access::write: sink = stream_fill(isa, a, 1.0F, floats); break;
          case Access::triad:
            sink = stream_triad(isa, a, a + step, a + 2 * step, 0.5F, floats);
            break;
        }
      }
      static_cast<void>(sink);
      return pass_bytes * passes;
    });
  });
}

double probe_call_s(Isa isa, int threads) {
  const Conv2d conv(Conv2dShape{}, isa);
  const float weight = 1.0F, input = 1.0F;
  std::vector<float> packed(conv.packed_size());
  std::vector<float> workspace(conv.workspace_size(threads));
  std::array<float, 16> output{};
  conv.pack(&weight, packed.data());
  std::unique_ptr<ThreadPool> pool;
  if (threads > 1) pool = std::make_unique<ThreadPool>(threads);
  constexpr int calls = 100;
  std::array<double, 101> times{};
  for (double& each : times) {
    const Clock::time_point before = Clock::now();
    for (int i = 0; i < calls; ++i) {
      if (pool) {
        conv.run(*pool, &input, packed.data(), nullptr, output.data(), workspace.data());
      } else {
        conv.run(&input, packed.data(), nullptr, output.data(), workspace.data());
      }
    }
    each = seconds(Clock::now() - before) / calls;
  }
  std::nth_element(times.begin(), times.begin() + times.size() / 2, times.end());
  return times[times.size() / 2];
}

}  // namespace alphaflops
