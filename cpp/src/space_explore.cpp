// From a space to its parts: each is built and lowered once for each flow that can reach it.
//
// What reaches a part is a function of some positions of the code. It is kept as a table over just
// those: after each part, positions that no longer make a difference are dropped.
#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "alphaflops/error.hpp"
#include "alphaflops/liveness.hpp"
#include "alphaflops/profile.hpp"
#include "alphaflops/space_tables.hpp"
#include "space_parts.hpp"
#include "tensor_bytes.hpp"

namespace alphaflops {
namespace {

constexpr std::size_t most_parts = std::size_t{1} << 16;

/// The mode that all profiles were timed in, fused where there are none. Raises ModelError where
/// they differ.
Mode mode_of(std::span<const Profile* const> profiles, const std::string& space) {
  if (profiles.empty()) return Mode::fused;
  const Mode mode = profiles[0]->mode();
  if (std::ranges::all_of(profiles, [=](const Profile* p) { return p->mode() == mode; })) {
    return mode;
  }
  std::string listed;
  for (const Profile* p : profiles) {
    listed +=
        (listed.empty() ? "'" : ", '") + p->name() + "' in " + std::string(to_string(p->mode()));
  }
  throw ModelError(space + ": profiles were timed in different modes, " + listed +
                   "; compile the space for each by itself, or give a mode to price "
                   "all of them in");
}

}  // namespace

class Exploration {
 public:
  Exploration(const SearchSpace& space, const CompileOptions& options, Mode mode)
      : space_(space), options_(options) {
    parts_.mode = mode;
  }

  /// Prices every part in every state that it can be in.
  Parts run() && {
    Dependence state{{}, {state_of({.tensors = {}, .slots = {}, .notes = {options_.batch}})}};
    for (const SearchSpace::Part& part : space_.program_) state = pass(part, state);
    return std::move(parts_);
  }

 private:
  /// A tensor that flows, as far as the parts behind it can tell.
  struct Handed {
    Shape shape;
    DType dtype;
    bool stays;  // an input of the network, which the caller keeps
    bool operator<(const Handed& other) const {
      return std::tie(shape, dtype, stays) < std::tie(other.shape, other.dtype, other.stays);
    }
  };

  struct State {
    std::vector<Handed> tensors;  // distinct
    std::vector<int> slots;       // into tensors, as the flow lists them
    std::vector<std::int64_t> notes;
    std::int64_t input_bytes = 0;  // of all inputs of the network so far
    bool operator<(const State& other) const {
      return std::tie(tensors, slots, notes, input_bytes) <
             std::tie(other.tensors, other.slots, other.notes, other.input_bytes);
    }
  };

  std::size_t choices(int position) const {
    return space_.positions_[static_cast<std::size_t>(position)].choices.size();
  }
  std::size_t entries(const std::vector<int>& positions, const std::string& part) const;

  int state_of(State state) {
    const auto [at, is_new] = numbers_.try_emplace(std::move(state), int(states_.size()));
    if (is_new) states_.push_back(&at->first);
    return at->second;
  }

  /// Prices a part in all its states; returns what reaches the next one.
  Dependence pass(const SearchSpace::Part& part, const Dependence& before);
  /// Without the positions that make no difference.
  Dependence reduced(Dependence dependence) const;
  int price(const SearchSpace::Part& part, int state, int choice);
  State state_behind(const std::string& part, const Graph& graph, const Flow& flow,
                     std::size_t incoming, int from) const;

  const SearchSpace& space_;
  const CompileOptions& options_;
  std::map<State, int> numbers_;
  std::vector<const State*> states_;
  std::map<std::tuple<const Step*, int, int>, int> known_;
  Parts parts_;
};

std::size_t Exploration::entries(const std::vector<int>& positions, const std::string& part) const {
  int digits = 0;
  std::size_t count = 1;  // at most one digit more than is allowed, so that it does not overflow
  for (const int position : positions) {
    count *= choices(position);
    digits += choices(position) > 1 ? 1 : 0;
  }
  if (digits <= most_digits && count <= most_entries) return count;
  std::string names;
  for (const int position : positions) {
    names += (names.empty() ? "'" : ", '") +
             space_.positions_[static_cast<std::size_t>(position)].name + "'";
  }
  throw UnsupportedError(space_.name_ + ": what part '" + part + "' costs depends on positions " +
                         names + ": a table of " + std::to_string(count) + " entries; at most " +
                         std::to_string(most_entries) + " over " + std::to_string(most_digits) +
                         " positions are kept. Let fewer positions decide what flows into it");
}

Dependence Exploration::pass(const SearchSpace::Part& part, const Dependence& before) {
  Dependence term{before.positions, {}};
  if (part.reads >= 0 && std::ranges::find(term.positions, part.reads) == term.positions.end()) {
    term.positions.insert(std::ranges::upper_bound(term.positions, part.reads), part.reads);
  }
  const std::size_t count = entries(term.positions, part.name);
  const auto sizes = [this](int position) { return choices(position); };
  const auto from = projection(term.positions, before.positions, count, sizes);
  const std::vector<int> read = part.reads < 0 ? std::vector<int>{} : std::vector{part.reads};
  const auto choice = projection(term.positions, read, count, sizes);
  Dependence next{term.positions, {}};
  for (std::size_t i = 0; i < count; ++i) {
    const int at = price(part, before.values[from[i]], static_cast<int>(choice[i]));
    term.values.push_back(at);
    next.values.push_back(parts_.priced[static_cast<std::size_t>(at)].next);
  }
  parts_.terms.push_back(std::move(term));
  return reduced(std::move(next));
}

Dependence Exploration::reduced(Dependence d) const {
  std::size_t inner = 1;
  for (std::size_t k = 0; k < d.positions.size();) {
    const std::size_t n = choices(d.positions[k]);
    const std::size_t block = inner * n;
    bool differs = false;
    for (std::size_t i = 0; i < d.values.size() && !differs; ++i) {
      differs = d.values[i] != d.values[i - i / inner % n * inner];
    }
    if (differs) {
      inner = block;
      ++k;
      continue;
    }
    std::vector<int> kept;
    for (std::size_t i = 0; i < d.values.size(); ++i) {
      if (i / inner % n == 0) kept.push_back(d.values[i]);
    }
    d.values = std::move(kept);
    d.positions.erase(d.positions.begin() + static_cast<std::ptrdiff_t>(k));
  }
  return d;
}

Exploration::State Exploration::state_behind(const std::string& part, const Graph& graph,
                                             const Flow& flow, std::size_t incoming,
                                             int from) const {
  const State& before = *states_[static_cast<std::size_t>(from)];
  const auto is_view = [&](int x) {
    return std::holds_alternative<FlattenOp>(graph.node(x).op) ||
           std::holds_alternative<PartOp>(graph.node(x).op);
  };
  // A constant would look like an activation to the parts behind.
  std::vector<bool> varies(graph.nodes().size());
  for (std::size_t i = 0; i < varies.size(); ++i) {
    const Node& node = graph.nodes()[i];
    varies[i] = std::holds_alternative<Input>(node.op) ||
                std::ranges::any_of(node.inputs,
                                    [&](int x) { return varies[static_cast<std::size_t>(x)]; });
  }
  State next{.tensors = {}, .slots = {}, .notes = flow.notes, .input_bytes = before.input_bytes};
  std::vector<int> distinct;
  for (const int x : flow.tensors) {
    const auto known = std::ranges::find(distinct, x);
    next.slots.push_back(static_cast<int>(known - distinct.begin()));
    if (known != distinct.end()) continue;
    distinct.push_back(x);
    if (!varies[static_cast<std::size_t>(x)]) {
      throw UnsupportedError(space_.name_ + ": part '" + part + "' hands on a constant, '" +
                             graph.node(x).name + "'; make constants in the parts that read them");
    }
    int source = x;
    while (is_view(source)) source = graph.node(source).inputs[0];
    const bool is_input = std::holds_alternative<Input>(graph.node(source).op);
    const auto at = static_cast<std::size_t>(source);
    const bool stays = is_input && (at >= incoming || before.tensors[at].stays);
    next.tensors.push_back({graph.node(x).shape, graph.node(x).dtype, stays});
  }
  const auto consumers = graph.consumers();
  for (std::size_t i = incoming; i < graph.nodes().size(); ++i) {
    if (!std::holds_alternative<Input>(graph.nodes()[i].op)) continue;
    const std::int64_t bytes = tensor_bytes(graph, static_cast<int>(i), consumers[i]);
    next.input_bytes = checked_add(next.input_bytes, bytes, "bytes of inputs");
  }
  return next;
}

int Exploration::price(const SearchSpace::Part& part, int state, int choice) {
  const auto [known, is_new] =
      known_.try_emplace({part.step.get(), state, choice}, static_cast<int>(parts_.priced.size()));
  if (!is_new) return known->second;
  if (parts_.priced.size() >= most_parts) {
    throw UnsupportedError(space_.name_ + ": part '" + part.name +
                           "' is met by so many different " + "flows that more than " +
                           std::to_string(most_parts) +
                           " parts would have to be priced; let fewer positions decide what flows");
  }
  const State& before = *states_[static_cast<std::size_t>(state)];
  Graph graph(space_.name_, options_.dtype);
  std::int64_t elsewhere = before.input_bytes;  // inputs of the network that do not flow here
  for (const Handed& tensor : before.tensors) {
    graph.set_dtype(tensor.dtype);
    graph.input(tensor.shape);
    if (!tensor.stays) continue;
    elsewhere -=
        checked_mul(size_of(tensor.dtype), element_count(tensor.shape), "bytes of an input");
  }
  graph.set_dtype(options_.dtype);
  const std::size_t incoming = before.tensors.size();
  const Flow out = space_.run(part, graph, {before.slots, before.notes}, choice);
  std::vector<int> ends;
  for (int x = 0; x < static_cast<int>(incoming); ++x) {
    const bool goes_on = std::ranges::find(out.tensors, x) != out.tensors.end();
    if (!goes_on && !before.tensors[static_cast<std::size_t>(x)].stays) ends.push_back(x);
  }
  const PeakMemory peak = peak_memory_of_part(graph, parts_.mode, ends);
  parts_.priced.push_back(
      {.work = lower(graph, parts_.mode),
       .peak_bytes = checked_add(peak.activations, elsewhere, "bytes alive"),
       .resident_bytes = checked_add(peak.parameters, peak.constants, "parameters"),
       .next = 0});
  const int next = state_of(state_behind(part.name, graph, out, incoming, state));
  parts_.priced.back().next = next;
  return static_cast<int>(parts_.priced.size()) - 1;
}

CompiledSpace SearchSpace::compile(std::span<const Profile* const> profiles,
                                   const CompileOptions& options) const {
  for (std::size_t i = 0; i < profiles.size(); ++i) {
    if (profiles[i] != nullptr) continue;
    throw ProfileError("space '" + name_ + "': profile " + std::to_string(i) +
                       " is null; give a profile that was loaded");
  }
  if (options.reuse_bytes && !(*options.reuse_bytes >= 0.0)) {
    throw ShapeError("space '" + name_ + "': reuse_bytes is " +
                     std::to_string(*options.reuse_bytes) + "; it must be 0 or more");
  }
  const Mode mode = options.mode ? *options.mode : mode_of(profiles, name_);
  const Parts parts = Exploration(*this, options, mode).run();
  return CompiledSpace(std::make_shared<const CompiledSpace::Data>(
      tabulate(name_, positions_, parts, profiles, options.reuse_bytes)));
}

CompiledSpace SearchSpace::compile(const Profile& profile, const CompileOptions& options) const {
  const Profile* one = &profile;
  return compile(std::span(&one, 1), options);
}

}  // namespace alphaflops
