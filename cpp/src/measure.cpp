#include "alphaflops/measure.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/system.hpp"
#include "clock.hpp"
#include "executor_step.hpp"
#include "memory.hpp"
#include "watch.hpp"

namespace alphaflops {
namespace {

constexpr double least_sample_s = 200e-6;
constexpr double resolutions_a_sample = 1000.0;

// Copies of the weights that a bench rotates through take so much together, at least.
std::int64_t rotation_floats() {
  static const std::int64_t floats =
      std::clamp<std::int64_t>(2 * system_info().l3_bytes, 48 << 20, 256 << 20) / float_bytes;
  return floats;
}

// Pairs of input and output buffers a bench rotates through: about what is alive at once in an
// arena.
constexpr std::int64_t activation_slots = 2;

// Weights that are used again are in the caches after so many passes over all copies, and one of
// calls. One is too few: a last-level cache keeps some lines only when they are read again.
constexpr int passes_to_settle = 2;

/// Leaves caches to others.
void wait(double pause_s) {
  const Clock::time_point start = Clock::now();
  while (seconds(Clock::now() - start) < pause_s) {
  }
}

/// Reads a number of every line.
float read_through(const float* buffer, std::int64_t floats) {
  float sum = 0.0F;
  for (std::int64_t i = 0; i < floats; i += line_floats) sum += buffer[i];
  return sum;
}

/// Leaves a buffer as a layer that has just written it does: every line changed, the last in cache.
void touch(float* buffer, std::int64_t floats) {
  for (std::int64_t i = 0; i < floats; i += line_floats) buffer[i] = -buffer[i];
}

}  // namespace

std::string_view to_string(CacheState state) {
  return state == CacheState::context ? "context" : "hot";
}

CacheState parse_cache_state(std::string_view name) {
  if (name == "context") return CacheState::context;
  if (name == "hot") return CacheState::hot;
  throw UnsupportedError("cache '" + std::string(name) + "' is not known; use context or hot");
}

// Address space for the limit is reserved for each, so that nothing moves. Nothing but `touch`
// writes to the inputs: what a softmax writes would be another's denormal numbers.
struct Workbench::Blocks {
  /// Memory that is filled with random numbers up to where somebody has needed it.
  struct Pool {
    Pool(std::int64_t bytes, const char* what) : memory(bytes / float_bytes, what) {}

    void fill(std::int64_t end) {
      if (end <= filled) return;
      fill_uniform({memory.data() + filled, static_cast<std::size_t>(end - filled)}, 1.0F,
                   static_cast<std::uint64_t>(filled) + 1);
      filled = end;
    }
    void trim(std::int64_t end) {
      if (end >= filled) return;
      memory.discard(end);
      filled = end;
    }

    Memory memory;
    std::int64_t filled = 0;  // floats
  };

  static constexpr std::size_t pools = 4;
  using Sizes = std::array<std::int64_t, pools>;  // floats of weights, inputs, outputs, workspace

  explicit Blocks(std::int64_t bytes)
      : limit_bytes(bytes),
        pool{Pool(bytes, "weights"), Pool(bytes, "inputs"), Pool(bytes, "outputs"),
             Pool(bytes, "workspace")} {}

  std::int64_t touched_bytes() const {
    std::int64_t floats = 0;
    for (const Pool& each : pool) floats += each.filled;
    return floats * float_bytes;
  }

  /// Makes what is needed ready, giving back what others needed where both are beyond the limit.
  void reserve(const Sizes& sizes) {
    std::int64_t together = 0;
    for (std::size_t i = 0; i < pools; ++i) together += std::max(pool[i].filled, sizes[i]);
    const bool crowded = together > limit_bytes / float_bytes;
    for (std::size_t i = 0; i < pools; ++i) {
      if (crowded) pool[i].trim(sizes[i]);
      pool[i].fill(sizes[i]);
    }
  }

  float* data(std::size_t i) const { return pool[i].memory.data(); }

  std::int64_t limit_bytes;
  std::array<Pool, pools> pool;
};

Workbench::Workbench(std::int64_t limit_bytes) {
  if (limit_bytes < 1) {
    throw ShapeError("a workbench of " + std::to_string(limit_bytes) + " bytes; give at least 1");
  }
  blocks_ = std::make_unique<Blocks>(limit_bytes);
}
Workbench::~Workbench() = default;

std::int64_t Workbench::limit_bytes() const { return blocks_->limit_bytes; }

std::int64_t Workbench::memory_bytes() const { return blocks_->touched_bytes(); }

struct Bench::Plan {
  Plan(const Graph& graph, std::shared_ptr<Workbench> bench, Isa wanted, CacheState cache,
       std::size_t row, std::optional<std::int64_t> reuse_bytes, double reuse_s)
      : workbench(present(std::move(bench))), step(step_of(graph, row, wanted)), isa(wanted) {
    for (const int x : step.inputs()) {
      input_floats.push_back(element_count(graph.node(x).shape));
      inputs_floats += round_up_to_line(input_floats.back());
    }
    inputs.resize(input_floats.size());
    output_floats = round_up_to_line(element_count(graph.node(step.output()).shape));
    weight_floats = round_up_to_line(step.weight_floats());
    copy_floats = weight_floats + round_up_to_line(step.shift_floats());
    rotates = cache == CacheState::context;
    fit(graph.node(step.output()).name);
    if (reuse_bytes && copy_floats > 0) {
      reuses = true;
      copies = std::clamp<std::int64_t>(*reuse_bytes / (copy_floats * float_bytes), 1, copies);
      pause_s = reuse_s / static_cast<double>(copies);
    }
  }

  static std::shared_ptr<Workbench> present(std::shared_ptr<Workbench> bench) {
    if (bench == nullptr) throw UnsupportedError("bench: the workbench is null; make one first");
    return bench;
  }
  static ExecutorStep step_of(const Graph& graph, std::size_t row, Isa isa);
  void fit(const std::string& name);
  Workbench::Blocks::Sizes sizes() const {
    return {copies * copy_floats, slots * inputs_floats, slots * output_floats,
            step.workspace_floats()};
  }
  double call();  // seconds

  std::shared_ptr<Workbench> workbench;
  ExecutorStep step;
  Isa isa;
  std::vector<std::int64_t> input_floats;
  std::vector<const float*> inputs;  // of the call under way
  std::int64_t inputs_floats = 0, output_floats = 0, weight_floats = 0, copy_floats = 0;
  std::int64_t copies = 1, slots = 1;
  std::int64_t calls = 0;
  bool rotates = false, reuses = false;
  double pause_s = 0.0;  // before a call
};

ExecutorStep Bench::Plan::step_of(const Graph& graph, std::size_t row, Isa isa) {
  const WorkTable work = lower(graph, Mode::fused);
  if (work.size() == 0 && graph.calls() > 0) {
    throw UnsupportedError(graph.name() + ": it launches nothing; the torch backend times calls");
  }
  if (row >= work.size()) {
    throw ShapeError("row " + std::to_string(row) + " is not in graph '" + graph.name() +
                     "', which has " + std::to_string(work.size()) + " rows");
  }
  if (work.dtype[row] != DType::fp32) {
    throw UnsupportedError(graph.node(work.node[row]).name + ": dtype " +
                           std::string(to_string(work.dtype[row])) +
                           " has no native kernel; use fp32");
  }
  return ExecutorStep(graph, work, row, isa);
}

void Bench::Plan::fit(const std::string& name) {
  const std::int64_t limit = workbench->blocks_->limit_bytes / float_bytes;
  const std::int64_t slot_floats = checked_add(inputs_floats, output_floats, name.c_str());
  const std::int64_t least = checked_add(checked_add(copy_floats, slot_floats, name.c_str()),
                                         step.workspace_floats(), name.c_str());
  if (least > limit) {
    throw Error(name + ": needs " + std::to_string(checked_mul(least, float_bytes, "bytes")) +
                " bytes of weights and activations; the limit is " +
                std::to_string(workbench->limit_bytes()) + ", use a smaller batch or extent");
  }
  if (!rotates) return;
  const std::int64_t room = (limit - least) / 2;
  if (copy_floats > 0) {
    copies = std::min((rotation_floats() + copy_floats - 1) / copy_floats, 1 + room / copy_floats);
  }
  slots = std::min(activation_slots, 1 + room / slot_floats);
}

double Bench::Plan::call() {
  const Workbench::Blocks& blocks = *workbench->blocks_;
  const float* weights = blocks.data(0) + calls % copies * copy_floats;
  float* input = blocks.data(1) + calls % slots * inputs_floats;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    inputs[i] = input;
    if (rotates) touch(input, input_floats[i]);
    input += round_up_to_line(input_floats[i]);
  }
  const StepArguments arguments{
      .inputs = inputs,
      .weights = weights,
      .shift = step.shift_floats() > 0 ? weights + weight_floats : nullptr,
      .output = blocks.data(2) + calls % slots * output_floats,
      .workspace = blocks.data(3)};
  ++calls;
  if (pause_s > 0.0) wait(pause_s);
  const Clock::time_point before = Clock::now();
  step.run(arguments);
  const Clock::time_point after = Clock::now();
  return std::max(0.0, seconds(after - before) - clock_cost_s());
}

Bench::Bench(const Graph& graph, std::shared_ptr<Workbench> workbench, Isa isa, CacheState cache,
             std::size_t row, std::optional<std::int64_t> reuse_bytes, double reuse_s)
    : plan_(std::make_unique<Plan>(graph, std::move(workbench), isa, cache, row, reuse_bytes,
                                   reuse_s)) {}
Bench::~Bench() = default;
Bench::Bench(Bench&&) noexcept = default;
Bench& Bench::operator=(Bench&&) noexcept = default;

double Bench::warm_up() {
  constexpr double worth_repeating_s = 2e-3;
  plan_->workbench->blocks_->reserve(plan_->sizes());
  double call_s = plan_->call();
  for (int i = 0; i < 3 && call_s < worth_repeating_s; ++i) call_s = plan_->call();
  return call_s;
}

Sample Bench::sample(std::int64_t iterations) {
  require_iterations(iterations);
  plan_->workbench->blocks_->reserve(plan_->sizes());
  const Watch watch;
  if (plan_->reuses) {  // others ran since the last sample
    for (int pass = 0; pass < passes_to_settle; ++pass) {
      const volatile float unused =
          read_through(plan_->workbench->blocks_->data(0), plan_->copies * plan_->copy_floats);
      static_cast<void>(unused);
    }
    for (std::int64_t i = 0; i < plan_->copies; ++i) plan_->call();
  }
  double total_s = 0.0;
  for (std::int64_t i = 0; i < iterations; ++i) total_s += plan_->call();
  return watch.finish(total_s, iterations);
}

std::int64_t Bench::iterations_for(double call_s) {
  constexpr double most = 1e5;
  const double wanted_s = std::max(least_sample_s, resolutions_a_sample * clock_resolution_s());
  return static_cast<std::int64_t>(
      std::clamp(std::ceil(wanted_s / std::max(call_s, 1e-9)), 1.0, most));
}

Isa Bench::isa() const { return plan_->isa; }

std::int64_t Bench::memory_bytes() const {
  const Workbench::Blocks::Sizes sizes = plan_->sizes();
  return float_bytes * std::accumulate(sizes.begin(), sizes.end(), std::int64_t{0});
}

Sample sample_network(Executor& executor, std::int64_t iterations) {
  require_iterations(iterations);
  const Watch watch;
  const Clock::time_point before = Clock::now();
  for (std::int64_t i = 0; i < iterations; ++i) executor.run();
  return watch.finish(seconds(Clock::now() - before), iterations);
}

}  // namespace alphaflops
