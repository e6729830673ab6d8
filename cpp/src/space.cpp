#include "alphaflops/space.hpp"

#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "alphaflops/error.hpp"
#include "space_data.hpp"

namespace alphaflops {
namespace {

/// The error that is being handled, with `where` before its message. What is neither of this
/// library nor a mistake of a step, such as an exception of another language, goes on as it is.
[[noreturn]] void rethrow_at(const std::string& where) {
  try {
    throw;
  } catch (const ShapeError& e) {
    throw ShapeError(where + e.what());
  } catch (const OverflowError& e) {
    throw OverflowError(where + e.what());
  } catch (const UnsupportedError& e) {
    throw UnsupportedError(where + e.what());
  } catch (const ModelError& e) {
    throw ModelError(where + e.what());
  } catch (const ProfileError& e) {
    throw ProfileError(where + e.what());
  } catch (const IoError& e) {
    throw IoError(where + e.what());
  } catch (const Error& e) {
    throw Error(where + e.what());
  } catch (const std::logic_error& e) {
    throw ModelError(where + e.what());
  }
}

std::string describe_flow(const Graph& graph, const Flow& flow) {
  std::string text;
  for (const int x : flow.tensors) {
    text += (text.empty() ? "" : ", ") + describe(graph.node(x).shape);
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace

SearchSpace::SearchSpace(std::string name) : name_(std::move(name)) {}

int SearchSpace::position(std::string name, std::vector<std::string> choices) {
  if (choices.empty() || choices.size() > 256) {
    throw ModelError(name_ + ": position '" + name + "' has " + std::to_string(choices.size()) +
                     " choices; a position has 1 to 256");
  }
  positions_.push_back({std::move(name), std::move(choices)});
  return static_cast<int>(positions_.size()) - 1;
}

void SearchSpace::add(std::string name, std::shared_ptr<const Step> step, int reads) {
  if (reads < -1 || reads >= static_cast<int>(positions_.size())) {
    throw ModelError(name_ + ": part '" + name + "' reads position " + std::to_string(reads) +
                     "; there are " + std::to_string(positions_.size()));
  }
  if (step == nullptr || !*step) throw ModelError(name_ + ": part '" + name + "' has no step");
  program_.push_back({std::move(name), std::move(step), reads});
}

int SearchSpace::choose(std::string name, std::vector<std::string> choices, Step step) {
  const int at = position(name, std::move(choices));
  add(std::move(name), std::make_shared<const Step>(std::move(step)), at);
  return at;
}

/// Runs one part. Each tensor that it hands on becomes a view: launches end there.
Flow SearchSpace::run(const Part& part, Graph& graph, const Flow& flow, int choice) const {
  const DType dtype = graph.dtype();
  const std::size_t before = graph.nodes().size();
  Flow out;
  try {
    out = (*part.step)(graph, flow, choice);
    std::vector<std::pair<int, int>> views;
    for (int& x : out.tensors) {
      const Node& made = graph.node(x);
      if (static_cast<std::size_t>(x) < before) continue;
      auto known = std::ranges::find(views, x, &std::pair<int, int>::first);
      if (known == views.end()) {
        graph.set_dtype(made.dtype);
        views.emplace_back(x, graph.view(x, made.shape, "out"));
        known = std::prev(views.end());
      }
      x = known->second;
    }
  } catch (const std::exception&) {
    std::string where = name_ + ": part '" + part.name + "'";
    if (part.reads >= 0) {
      const Position& position = positions_[static_cast<std::size_t>(part.reads)];
      where += ", choice '" + position.choices[static_cast<std::size_t>(choice)] + "'";
    }
    rethrow_at(where + ", behind " + describe_flow(graph, flow) + ": ");
  }
  graph.set_dtype(dtype);
  if (!part.name.empty()) {
    for (std::size_t i = before; i < graph.nodes().size(); ++i) {
      graph.rename(static_cast<int>(i), part.name + "." + graph.nodes()[i].name);
    }
  }
  return out;
}

Graph SearchSpace::graph(std::span<const std::uint8_t> code, std::int64_t batch,
                         DType dtype) const {
  require_code(name_, positions_, code);
  std::string text;
  for (std::size_t i = 0; i < code.size(); ++i) {
    text += i == 0 ? ' ' : '-';
    text += std::to_string(code[i]);
  }
  Graph graph(name_ + text, dtype);
  Flow flow{.tensors = {}, .notes = {batch}};
  for (const Part& part : program_) {
    flow = run(part, graph, flow, part.reads < 0 ? 0 : code[static_cast<std::size_t>(part.reads)]);
  }
  return graph;
}

}  // namespace alphaflops
