// Timing single operators, and the machine as a timer sees it.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/measure.hpp"
#include "alphaflops/spec.hpp"
#include "alphaflops/system.hpp"
#include "check.hpp"

using namespace alphaflops;

namespace {

double bench_time(const OperatorSpec& spec, CacheState cache) {
  static const auto workbench = std::make_shared<Workbench>();
  Bench bench(graph_of(spec), workbench, best_isa(), cache);
  const std::int64_t iterations = Bench::iterations_for(bench.warm_up());
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 15; ++i) best = std::min(best, bench.sample(iterations).time_s);
  return best;
}

void test_bench() {
  const OperatorSpec once{
      .c_in = 64, .h_in = 28, .w_in = 28, .c_out = 64, .k_h = 3, .k_w = 3, .pad_h = 1, .pad_w = 1};
  OperatorSpec four = once;
  four.batch = 4;
  const double ratio =
      bench_time(four, CacheState::context) / bench_time(once, CacheState::context);
  CHECK_MESSAGE(ratio > 2.5 && ratio < 6.0, "four times the work takes " + std::to_string(ratio));

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // A linear layer is its weights' way from memory: hot, they are in cache already. Under a
  // sanitizer it is the checks' way.
  const OperatorSpec linear{.op = "linear", .c_in = 512, .c_out = 256};
  CHECK(bench_time(linear, CacheState::context) > 1.2 * bench_time(linear, CacheState::hot));
#endif

  // Weights that are used again after so many bytes: fewer copies, but one at least.
  const OperatorSpec layer{.op = "linear", .c_in = 512, .c_out = 256};
  const auto copies_of = [&](std::optional<std::int64_t> reuse_bytes) {
    const auto bench = std::make_shared<Workbench>();
    const Bench one(graph_of(layer), bench, best_isa(), CacheState::context, 0, reuse_bytes);
    return (one.memory_bytes() -
            Bench(graph_of(layer), bench, best_isa(), CacheState::context, 0, 0).memory_bytes()) /
               (512 * 256 * 4) +
           1;
  };
  CHECK(copies_of(0) == 1);
  CHECK(copies_of(4 * 512 * 256 * 4) == 4);
  CHECK(copies_of(1'000'000'000) == copies_of(std::nullopt));

  const auto workbench = std::make_shared<Workbench>(100'000'000);
  Bench small(graph_of(once), workbench);
  CHECK(small.memory_bytes() <= workbench->limit_bytes());
  CHECK(small.warm_up() > 0.0);
  const Sample sample = small.sample(3);
  CHECK(sample.iterations == 3 && sample.time_s > 0.0);
  CHECK(sample.wall_s >= 3 * sample.time_s * 0.99);
  CHECK(sample.clock_hz > 1e8 && sample.clock_hz < 2e10);
  CHECK_RAISES(small.sample(0), ShapeError, "at least 1");
  CHECK_RAISES(Bench(graph_of(once), nullptr), UnsupportedError, "the workbench is null");
  CHECK_RAISES(Bench(graph_of(once), workbench, best_isa(), CacheState::context, 1), ShapeError,
               "row 1");

  // Two that fit one at a time take turns.
  const OperatorSpec wide{.op = "relu", .c_in = 64, .h_in = 400, .w_in = 400};
  const OperatorSpec heavy{.op = "linear", .c_in = 4096, .c_out = 4096};
  Bench first(graph_of(wide), workbench), second(graph_of(heavy), workbench);
  for (int i = 0; i < 2; ++i) {
    CHECK(first.sample(1).time_s > 0.0);
    CHECK(workbench->memory_bytes() <= workbench->limit_bytes());
    CHECK(second.sample(1).time_s > 0.0);
    CHECK(workbench->memory_bytes() <= workbench->limit_bytes());
  }
  const OperatorSpec huge{.op = "relu", .c_in = 64, .h_in = 1000, .w_in = 1000};
  CHECK_RAISES(Bench(graph_of(huge), workbench), Error, "512000000 bytes");
}

void test_every_operator_has_a_bench() {
  const auto workbench = std::make_shared<Workbench>();
  for (const char* op : {"conv2d", "linear", "batch_norm", "max_pool", "avg_pool",
                         "global_avg_pool", "softmax", "add", "mul", "concat", "relu", "relu6",
                         "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh"}) {
    const bool windowed = std::string(op).find("_pool") != std::string::npos;
    const OperatorSpec spec{.op = op,
                            .c_in = 24,
                            .h_in = 8,
                            .w_in = 8,
                            .c_out = std::string(op) == "concat" ? 40 : 24,
                            .k_h = windowed ? 2 : 1,
                            .k_w = windowed ? 2 : 1};
    for (const CacheState cache : {CacheState::context, CacheState::hot}) {
      Bench bench(graph_of(spec), workbench, best_isa(), cache);
      CHECK_MESSAGE(bench.warm_up() >= 0.0 && bench.sample(50).time_s >= 0.0, op);
    }
  }
}

void test_iterations() {
  CHECK(Bench::iterations_for(1.0) == 1);
  CHECK(Bench::iterations_for(1e-6) * 1e-6 >= 200e-6 * 0.999);
  CHECK(Bench::iterations_for(1e-6) * 1e-6 >= 1000 * clock_resolution_s() * 0.999);
  CHECK(Bench::iterations_for(0.0) > 1);
  CHECK(parse_cache_state("hot") == CacheState::hot);
  CHECK_RAISES(parse_cache_state("cold"), UnsupportedError, "context or hot");
}

void test_system() {
  CHECK(clock_resolution_s() > 0.0 && clock_resolution_s() < 1e-3);
  CHECK(clock_cost_s() > 0.0 && clock_cost_s() < 1e-4);
  CHECK(steal_time_s() >= 0.0);
  CHECK(involuntary_switches() >= 0);
  CHECK(!system_info().cpu_model.empty());
  CHECK(system_info().memory_bytes > 0);
  const std::vector<int> before = thread_affinity();
  if (!before.empty()) {
    set_thread_affinity({before.back()});
    CHECK(current_cpu() == before.back());
    set_thread_affinity(before);
    CHECK(thread_affinity() == before);
    CHECK_RAISES(set_thread_affinity({}), Error, "bound");
  }
  const Peak peak = probe_peak(best_isa(), 0.05);
  CHECK(peak.flops_per_s > 1e8);
  CHECK(peak.bytes_read_per_s > 1e8);
}

}  // namespace

int main() {
  test_iterations();
  test_every_operator_has_a_bench();
  test_bench();
  test_system();
  return check::finish();
}
