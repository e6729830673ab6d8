// What one mutation costs in C++: prints nanoseconds a call of CompiledSpace::delta, and of
// evaluating one network, in a space of 22 positions with nine choices.
//
//   bench_space PROFILE.json [ROUNDS]
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "alphaflops/compiled_space.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/profile.hpp"

namespace {

using namespace alphaflops;

SearchSpace make_space() {
  SearchSpace space("delta");
  space.add("image", std::make_shared<const Step>([](Graph& graph, const Flow& flow, int) {
              return Flow{.tensors = {graph.input({flow.notes[0], 16, 16, 16})}, .notes = {}};
            }));
  const std::vector<std::string> choices{"1x8",  "1x16", "1x24", "3x8", "3x16",
                                         "3x24", "5x8",  "5x16", "5x24"};
  // The hidden width is chosen, the channels between positions stay.
  for (int p = 0; p < 22; ++p) {
    space.choose(std::to_string(p), choices, [](Graph& graph, const Flow& flow, int choice) {
      const std::int64_t kernel = 1 + 2 * (choice / 3), pad = kernel / 2;
      const Window window{.kernel = {kernel, kernel}, .pad = {pad, pad, pad, pad}};
      int x = graph.conv2d(flow.tensors[0], {.c_out = 8 * (1 + choice % 3), .window = window});
      x = graph.activation(graph.batch_norm(x), Activation::relu);
      return Flow{.tensors = {graph.conv2d(x, {.c_out = 16})}, .notes = {}};
    });
  }
  return space;
}

/// Median nanoseconds a call over rounds of `calls` calls.
template <typename F>
double median_ns(int rounds, int calls, const F& call) {
  std::vector<double> each;
  for (int round = 0; round < rounds; ++round) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < calls; ++i) call(i);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    each.push_back(took.count() / calls);
  }
  std::ranges::sort(each);
  return each[each.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: bench_space PROFILE.json [ROUNDS]\n");
    return 2;
  }
  try {
    const int rounds = argc > 2 ? std::atoi(argv[2]) : 51;
    const CompiledSpace compiled = make_space().compile(Profile::load(argv[1]));
    constexpr int calls = 4096;
    constexpr std::size_t positions = 22;
    std::mt19937 random(0);
    std::vector<std::uint8_t> codes(calls * positions);
    for (std::uint8_t& digit : codes) digit = static_cast<std::uint8_t>(random() % 9);
    std::vector<int> position(calls), choice(calls);
    for (int& p : position) p = static_cast<int>(random() % positions);
    for (int& c : choice) c = static_cast<int>(random() % 9);
    double sum = 0.0;
    const auto code = [&](int i) {
      return std::span{codes}.subspan(static_cast<std::size_t>(i) * positions, positions);
    };
    const auto at = [](const std::vector<int>& v, int i) { return v[static_cast<std::size_t>(i)]; };
    std::printf("delta_ns %.1f\n", median_ns(rounds, calls, [&](int i) {
                  sum += compiled.delta(code(i), at(position, i), at(choice, i));
                }));
    std::printf("evaluate_one_ns %.1f\n",
                median_ns(rounds, calls, [&](int i) { sum += compiled.evaluate(code(i)); }));
    std::printf("checksum %g\n", sum);  // so that nothing is optimised away
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
