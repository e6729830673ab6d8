// Times one operator, or a whole network, in the context in which a network meets it.
//
// In a network a layer finds its input where the layer before left it (in cache, as far as it
// fits), its weights in memory (other layers' weights have passed through the caches since), and
// its output where tensors of a few layers ago were. docs/measuring.md says how `Bench` brings that
// about.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "alphaflops/executor.hpp"
#include "alphaflops/graph.hpp"
#include "alphaflops/isa.hpp"

namespace alphaflops {

/// One reading: some calls, timed one by one, and what happened to the thread meanwhile.
struct Sample {
  double time_s = 0.0;  // mean of the calls
  std::int64_t iterations = 0;
  double wall_s = 0.0;        // all of it, what lies between the timed calls included
  double steal_s = 0.0;       // taken by the hypervisor
  std::int64_t switches = 0;  // involuntary context switches
  double clock_hz = 0.0;      // of the processor, right after
  double reorder_s = 0.0;     // the part of time_s that changed the layout
};

/// context: as in a network. hot: the same buffers at every call, whatever fits stays in cache.
enum class CacheState : std::uint8_t { context, hot };
std::string_view to_string(CacheState state);
/// Raises UnsupportedError for a name that is neither.
CacheState parse_cache_state(std::string_view name);

/// Memory that benches take turns in. Random numbers serve as anybody's weights and activations, so
/// that a bench costs no filling and no packing once the memory it needs has been touched.
class Workbench {
 public:
  static constexpr std::int64_t default_limit_bytes = 1'500'000'000;

  explicit Workbench(std::int64_t limit_bytes = default_limit_bytes);
  ~Workbench();
  Workbench(const Workbench&) = delete;
  Workbench& operator=(const Workbench&) = delete;

  std::int64_t limit_bytes() const;
  /// Touched so far.
  std::int64_t memory_bytes() const;

 private:
  friend class Bench;
  struct Blocks;
  std::unique_ptr<Blocks> blocks_;
};

/// One row of a network's fused work table ready to be timed by itself. One bench of a workbench
/// runs at a time.
class Bench {
 public:
  /// In context, weights come from memory; with `reuse_bytes`, from wherever they are after so many
  /// others were used, and `reuse_s` seconds at least. Raises UnsupportedError as `Executor` does,
  /// ShapeError where the network has no such row, and Error saying how much it needs where that is
  /// beyond the workbench's limit.
  Bench(const Graph& graph, std::shared_ptr<Workbench> workbench, Isa isa = best_isa(),
        CacheState cache = CacheState::context, std::size_t row = 0,
        std::optional<std::int64_t> reuse_bytes = std::nullopt, double reuse_s = 0.0);
  ~Bench();
  Bench(Bench&&) noexcept;
  Bench& operator=(Bench&&) noexcept;

  /// A first call or a few; returns about what one takes, in seconds.
  double warm_up();
  /// Raises ShapeError for fewer than one iteration.
  Sample sample(std::int64_t iterations);
  /// So many calls of `call_s` seconds that the clock's steps and what reading it costs are far
  /// below one per mille of them, and no more than that takes.
  static std::int64_t iterations_for(double call_s);

  Isa isa() const;
  /// What a call reads and writes, with the copies it rotates through.
  std::int64_t memory_bytes() const;

 private:
  struct Plan;
  std::unique_ptr<Plan> plan_;
};

/// `iterations` passes through a whole network as one sample.
Sample sample_network(Executor& executor, std::int64_t iterations = 1);

}  // namespace alphaflops
