// Searches for the network with the most multiply-adds that is fast enough on a device:
//
//   search PROFILE.json LIMIT_MS [ROUNDS]
//
// Multiply-adds stand in for accuracy, which a real search would train or predict. The space is of
// ten inverted residuals in five stages; width, kernel and expansion of each are to be chosen.
#include <algorithm>
#include <alphaflops/compiled_space.hpp>
#include <alphaflops/error.hpp>
#include <alphaflops/profile.hpp>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using namespace alphaflops;

int conv_norm_relu(Graph& graph, int x, std::int64_t c_out, std::int64_t kernel = 1,
                   std::int64_t stride = 1, std::int64_t groups = 1) {
  const std::int64_t pad = kernel / 2;
  x = graph.conv2d(x, {.c_out = c_out,
                       .window = {.kernel = {kernel, kernel},
                                  .stride = {stride, stride},
                                  .pad = {pad, pad, pad, pad}},
                       .groups = groups});
  return graph.activation(graph.batch_norm(x), Activation::relu6);
}

/// A part of the network: it finds the channels of what reaches it, so choices need not know of
/// each other.
struct InvertedResidual {
  static constexpr std::array<std::int64_t, 3> kernels{3, 5, 7};
  static constexpr std::array<std::int64_t, 2> expansions{3, 6};
  std::array<std::int64_t, 2> widths;
  std::int64_t stride;

  static std::vector<std::string> choices() {
    std::vector<std::string> names;
    for (const char* width : {"narrow", "wide"}) {
      for (const std::int64_t k : kernels) {
        for (const std::int64_t e : expansions) {
          names.push_back(std::string(width) + " k" + std::to_string(k) + " e" + std::to_string(e));
        }
      }
    }
    return names;
  }

  Flow operator()(Graph& graph, const Flow& flow, int choice) const {
    const auto number = static_cast<std::size_t>(choice);
    const std::int64_t width = widths[number / 6];
    const std::int64_t kernel = kernels[number / 2 % 3];
    const int x = flow.tensors[0];
    const std::int64_t c_in = graph.node(x).shape[1];
    const std::int64_t hidden = expansions[number % 2] * c_in;
    int y = conv_norm_relu(graph, x, hidden);
    y = conv_norm_relu(graph, y, hidden, kernel, stride, hidden);
    y = graph.batch_norm(graph.conv2d(y, {.c_out = width}));
    return {.tensors = {stride == 1 && width == c_in ? graph.add(x, y) : y}, .notes = {}};
  }
};

SearchSpace make_space() {
  SearchSpace space("search-example");
  space.add("stem", std::make_shared<const Step>([](Graph& graph, const Flow& flow, int) {
              const int image = graph.input({flow.notes[0], 3, 96, 96});
              return Flow{.tensors = {conv_norm_relu(graph, image, 16, 3, 2)}, .notes = {}};
            }));
  const std::array<std::array<std::int64_t, 2>, 5> widths{
      {{16, 24}, {24, 32}, {40, 56}, {80, 112}, {160, 192}}};
  for (std::size_t block = 0; block < 2 * widths.size(); ++block) {
    const bool first = block % 2 == 0;
    space.choose("block" + std::to_string(block), InvertedResidual::choices(),
                 InvertedResidual{.widths = widths[block / 2], .stride = first ? 2 : 1});
  }
  space.add("head", std::make_shared<const Step>([](Graph& graph, const Flow& flow, int) {
              int x = conv_norm_relu(graph, flow.tensors[0], 640);
              x = graph.flatten(graph.global_avg_pool(x));
              return Flow{.tensors = {graph.linear(x, {.out_features = 100, .bias = true})},
                          .notes = {}};
            }));
  return space;
}

struct Best {
  double score = -1.0, time_s = 0.0;
  std::vector<std::uint8_t> code;
};

/// Half of each population is drawn at random, half is the best so far with a few changes.
Best search(const SearchSpace& space, const Evaluator& evaluator, double limit_s, int rounds) {
  constexpr std::size_t population = 4096;
  const std::size_t positions = space.positions().size();
  std::vector<std::uint8_t> codes(population * positions);
  std::vector<double> time_s(population);
  std::vector<std::int64_t> macs(population);
  const std::array<Output, 2> outputs{
      {{time_s.data(), sizeof(double)}, {macs.data(), sizeof(std::int64_t)}}};
  std::mt19937 random(0);
  const auto draw = [&](std::size_t position) {
    return static_cast<std::uint8_t>(random() % space.positions()[position].choices.size());
  };
  Best best;
  double spent_s = 0.0;
  for (int round = 0; round < rounds; ++round) {
    for (std::size_t row = 0; row < population; ++row) {
      std::uint8_t* code = &codes[row * positions];
      const bool mutant = best.score >= 0.0 && row % 2 == 1;
      for (std::size_t p = 0; p < positions; ++p) {
        code[p] = mutant && random() % 4 != 0 ? best.code[p] : draw(p);
      }
    }
    const auto start = std::chrono::steady_clock::now();
    evaluator.evaluate({codes.data(), population, static_cast<std::ptrdiff_t>(positions)}, outputs);
    spent_s += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    for (std::size_t row = 0; row < population; ++row) {
      const auto score = static_cast<double>(macs[row]);
      if (time_s[row] > limit_s || score <= best.score) continue;
      const auto* code = &codes[row * positions];
      best = {score, time_s[row], {code, code + positions}};
    }
  }
  std::printf("evaluations_per_s %.3g\n", rounds * double{population} / spent_s);
  return best;
}

/// The whole argument as a number above 0; raises Error naming it.
double positive(const char* name, const char* argument) {
  char* end = nullptr;
  const double value = std::strtod(argument, &end);
  if (end == argument || *end != '\0' || !std::isfinite(value) || value <= 0.0) {
    throw Error(std::string(name) + " is '" + argument + "'; give a number above 0");
  }
  return value;
}

int whole(const char* name, const char* argument) {
  const double value = positive(name, argument);
  if (value > 1e9 || value != std::floor(value)) {
    throw Error(std::string(name) + " is '" + argument + "'; give a whole number up to 1e9");
  }
  return static_cast<int>(value);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::fprintf(stderr, "usage: search PROFILE.json LIMIT_MS [ROUNDS]\n");
    return 2;
  }
  try {
    const double limit_s = positive("LIMIT_MS", argv[2]) * 1e-3;
    const int rounds = argc == 4 ? whole("ROUNDS", argv[3]) : 100;
    const Profile profile = Profile::load(argv[1]);
    const SearchSpace space = make_space();
    const CompiledSpace compiled = space.compile(profile);
    const std::array<Quantity, 2> quantities{{{Metric::time_s, 0}, {Metric::macs, 0}}};
    const Evaluator evaluator = compiled.evaluator(quantities);
    const Best best = search(space, evaluator, limit_s, rounds);
    if (best.code.empty()) {
      const Bounds bounds = compiled.bounds();
      std::fprintf(stderr, "no network takes %g ms or less; the fastest takes %g ms\n",
                   limit_s * 1e3, bounds.least * 1e3);
      return 1;
    }
    std::printf("time_ms %.17g\nmacs %.0f\ncode ", best.time_s * 1e3, best.score);
    for (std::size_t p = 0; p < best.code.size(); ++p) {
      std::printf("%s%d", p == 0 ? "" : "-", best.code[p]);
    }
    // Its price by itself, as any graph has one.
    std::printf("\none_by_one_ms %.17g\n", compiled.evaluate(best.code) * 1e3);
  } catch (const Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
  return 0;
}
