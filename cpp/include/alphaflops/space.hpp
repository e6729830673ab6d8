// A search space: networks that differ in one choice at each of a number of positions.
//
//     space --graph(code)--> graph              one network, as any other
//     space --compile(profile)--> tables        all networks: compiled_space.hpp
//
// A network is a code, one number a position. A space is a program of steps, each of which adds a
// part of the network with the graph builder; some read a position of the code, and several may
// read the same one (repeated cells). Parts are connected by a flow: tensors, and numbers that one
// part leaves for later ones. Launches are not fused across parts, so that a part costs the same
// behind whatever makes the same flow.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alphaflops/dtype.hpp"
#include "alphaflops/graph.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// What a part of a network hands on to the next one.
struct Flow {
  std::vector<int> tensors{};
  std::vector<std::int64_t> notes{};  // such as how many layers this stage still has
};

/// Adds a part to the graph. `choice` is what the code says, 0 where the step reads no position.
/// The first step of a space gets a flow without tensors whose one note is the batch, and adds the
/// input. It must do the same whenever the flow's shapes and notes, and the choice, are the same.
using Step = std::function<Flow(Graph& graph, const Flow& flow, int choice)>;

struct Position {
  std::string name{};
  std::vector<std::string> choices{};
};

class CompiledSpace;
class Profile;

struct CompileOptions {
  std::int64_t batch = 1;
  DType dtype = DType::fp32;
  /// Which operators share a launch, on all profiles: by default the mode they were timed in.
  std::optional<Mode> mode{};
  /// Reuse distance of the weights, by default each network's own. What a cache is worth is no sum
  /// over parts; tables follow it within some percent.
  std::optional<double> reuse_bytes{};
};

class SearchSpace {
 public:
  explicit SearchSpace(std::string name);

  const std::string& name() const { return name_; }
  const std::vector<Position>& positions() const { return positions_; }

  /// Adds a position to the code and returns its number. Raises ModelError for none or more than
  /// 256 choices.
  int position(std::string name, std::vector<std::string> choices);
  /// Adds a part to the network: `step` runs behind those added before it. `reads` is a position,
  /// or -1. `name` comes before the names of its layers. A step that is added more than once may be
  /// given as the same pointer each time; it is then priced once for the same flow.
  void add(std::string name, std::shared_ptr<const Step> step, int reads = -1);

  /// A position and the step that reads it; returns the position.
  int choose(std::string name, std::vector<std::string> choices, Step step);

  /// One network. Raises ModelError for what is no code, and what the steps raise, the part named.
  Graph graph(std::span<const std::uint8_t> code, std::int64_t batch = 1,
              DType dtype = DType::fp32) const;

  /// Prices every part in every state it can be in. Raises ProfileError listing the operators that
  /// a profile does not price, ModelError for profiles of different modes where options name none,
  /// UnsupportedError where the tables would not fit, OverflowError where a count of the largest
  /// network would not, ShapeError for a `reuse_bytes` below 0, and what `graph` raises for any
  /// code.
  CompiledSpace compile(std::span<const Profile* const> profiles,
                        const CompileOptions& options = {}) const;
  CompiledSpace compile(const Profile& profile, const CompileOptions& options = {}) const;

 private:
  friend class Exploration;
  struct Part {
    std::string name;
    std::shared_ptr<const Step> step;
    int reads;
  };
  Flow run(const Part& part, Graph& graph, const Flow& flow, int choice) const;

  std::string name_;
  std::vector<Position> positions_;
  std::vector<Part> program_;
};

}  // namespace alphaflops
