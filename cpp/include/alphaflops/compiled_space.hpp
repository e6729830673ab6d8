// A search space as tables: what every network of it costs, by looking up and adding.
//
//     cost(code) = base + sum over tables t of  t[code[p1], code[p2], ...]
//
// A part of the network depends on the position that it reads and on those that decide what reaches
// it (channels, resolution, whether the stage has ended); mostly that is one position or two. Peak
// memory takes the largest instead of the sum. Sums of doubles are exact for counts below 2^53.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "alphaflops/space.hpp"

namespace alphaflops {

enum class Metric : std::uint8_t {
  time_s,
  time_lo_s,  // interval of time_s, as `total` in predict.hpp has it
  time_hi_s,
  energy_j,     // NaN where the profile has no power
  alpha_flops,  // NaN where a form without an alpha prices what multiplies
  macs,
  flops,
  params,
  bytes_read,
  bytes_written,
  launches,
  // Parameters, and the most bytes of activations alive together. Tensors that a cell hands on from
  // part to part count until the cell drops them, which may be after their last use.
  peak_memory_bytes,
};
inline constexpr int metric_count = 12;
std::string_view to_string(Metric metric);
/// Raises UnsupportedError listing the known names.
Metric parse_metric(std::string_view name);
/// Whether it is a count, the same on every device.
bool is_count(Metric metric);

/// A metric on one of the profiles.
struct Quantity {
  Metric metric = Metric::time_s;
  int profile = 0;
};

/// A sum over entries of tables, one entry a table.
struct SpaceTable {
  std::vector<int> positions;  // that say which entry; the first varies fastest
  std::size_t entries = 1;
  std::vector<double> values;  // [columns][entries]
};

/// Where `Evaluator` writes one quantity: element i at data + i * stride bytes, an int64 for counts
/// and a double otherwise.
struct Output {
  void* data = nullptr;
  std::ptrdiff_t stride = 0;
};

/// Codes of networks, [n][positions]; row i is at data + i * stride.
struct CodesView {
  const std::uint8_t* data = nullptr;
  std::size_t rows = 0;
  std::ptrdiff_t stride = 0;
};

/// Tables of a few quantities, laid out for speed. Immutable: any number of threads may use one.
class Evaluator {
 public:
  /// One output a quantity. Raises ModelError naming row, position and value of what is no code;
  /// outputs are then undefined. `threads` is how many share the work; 0: one a processor. Raises
  /// UnsupportedError saying how many there can be where the system refuses one.
  void evaluate(CodesView codes, std::span<const Output> outputs, int threads = 1) const;
  const std::vector<Quantity>& quantities() const;

  struct Tables;
  const Tables& tables() const { return *tables_; }

 private:
  friend class CompiledSpace;
  explicit Evaluator(std::shared_ptr<const Tables> tables) : tables_(std::move(tables)) {}
  std::shared_ptr<const Tables> tables_;
};

/// The least and the most that a network of a space costs, and which one it is.
struct Bounds {
  double least = 0.0, most = 0.0;
  std::vector<std::uint8_t> cheapest, dearest;
};

class CompiledSpace {
 public:
  const std::string& name() const;
  const std::vector<Position>& positions() const;
  int profiles() const;
  /// In which operators share a launch.
  Mode mode() const;
  /// Parts that were priced, and bytes of all tables.
  std::size_t parts() const;
  std::size_t bytes() const;
  /// Operators that are counted as nothing because the profile declares them out of its scope.
  const std::vector<std::string>& unpriced(int profile = 0) const;

  /// Raises ModelError for a profile that is not there.
  Evaluator evaluator(std::span<const Quantity> quantities) const;
  /// One network.
  double evaluate(std::span<const std::uint8_t> code, Quantity quantity = {}) const;
  /// How much more the network costs with another choice at one position; of sums alone: raises
  /// UnsupportedError for intervals and memory.
  double delta(std::span<const std::uint8_t> code, int position, int choice,
               Quantity quantity = {}) const;
  /// Exact, of sums alone. Raises UnsupportedError where the quantity is NaN.
  Bounds bounds(Quantity quantity = {}) const;
  /// The mean over networks whose choices are drawn independently: `probabilities` are those of all
  /// choices of all positions, one position behind the other, and `gradient`, of the same size or
  /// empty, takes the derivative by each. Of sums alone. Raises ModelError for NaN, negative or
  /// infinite probabilities, position and choice named; they need not add up to 1.
  double expected(std::span<const double> probabilities, std::span<double> gradient,
                  Quantity quantity = {}) const;

  struct Data;

 private:
  friend class SearchSpace;
  explicit CompiledSpace(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  std::shared_ptr<const Data> data_;
};

}  // namespace alphaflops
