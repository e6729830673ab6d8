// Compiled spaces against the graphs that they stand for, from C++. Codes are heap arrays of their
// exact size, so that the address sanitizer sees reads behind them.
#include <cmath>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "alphaflops/compiled_space.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/liveness.hpp"
#include "alphaflops/predict.hpp"
#include "check.hpp"
#include "scarce_memory.hpp"

namespace {

using namespace alphaflops;
using Code = std::vector<std::uint8_t>;

/// Every kind at its own speed, with an interval.
Profile profile(double scale, const std::string& without = "", std::optional<Mode> mode = {},
                const std::string& more = "") {
  std::string models;
  int i = 0;
  for (const char* kind : {"conv_1x1", "conv_spatial", "conv_grouped", "linear", "elementwise",
                           "norm", "pool", "softmax", "copy"}) {
    ++i;
    if (kind == without) continue;
    const std::string rate = std::to_string(scale * i) + "e-10";
    models += std::string(models.empty() ? "" : ",") + R"({"kind": ")" + kind +
              R"(", "pass": "forward", "dtype": "fp32", "form": "traffic", "parameters": {)" +
              R"("seconds_per_byte_read": )" + rate + R"(, "seconds_per_byte_written": )" + rate +
              R"(}, "interval": {"lower_factor": 0.8, "upper_factor": 1.)" + std::to_string(i) +
              "}}";
  }
  const std::string timed = mode ? R"(, "mode": ")" + std::string(to_string(*mode)) + "\"" : "";
  return Profile::parse(R"({"format": "alphaflops-profile", "version": 1, "name": "test",
    "device": {"name": "test"}, "provenance": {"backend": "native")" +
                        timed + "}, " + more + R"("interval_level": 0.9,
    "power_w": 20.0, "overhead_s": 3e-6, "models": [)" +
                        models + "]}");
}

Flow only(int x) { return {.tensors = {x}}; }

/// Widths that the next block depends on, a block that may be left out, a cell that comes twice.
SearchSpace space() {
  SearchSpace s("test");
  const int side = s.position("side", {"16", "24"});
  s.add("", std::make_shared<const Step>([](Graph& g, const Flow& flow, int choice) {
          const std::int64_t extent = choice == 0 ? 16 : 24;
          return only(g.input({flow.notes[0], 3, extent, extent}));
        }),
        side);
  for (int block = 0; block < 3; ++block) {
    s.choose(std::string("block") + std::to_string(block), {"8", "12", "20"},
             [](Graph& g, const Flow& flow, int choice) {
               const std::int64_t widths[] = {8, 12, 20};
               const int x = g.conv2d(
                   flow.tensors[0],
                   {.c_out = widths[choice], .window = {.kernel = {3, 3}, .pad = {1, 1, 1, 1}}});
               return only(g.activation(g.batch_norm(x), Activation::relu));
             });
  }
  const int cell = s.position("cell", {"none", "pool", "conv"});
  const auto step = std::make_shared<const Step>([](Graph& g, const Flow& flow, int choice) {
    const int x = flow.tensors[0];
    if (choice == 0) return flow;
    if (choice == 1) {
      return only(g.add(x, g.pool(x, {.window = {.kernel = {3, 3}, .pad = {1, 1, 1, 1}}})));
    }
    return only(g.add(x, g.conv2d(x, {.c_out = g.node(x).shape[1]})));
  });
  s.add("cell0", step, cell);
  s.add("cell1", step, cell);
  s.choose("head", {"linear", "softmax"}, [](Graph& g, const Flow& flow, int choice) {
    const int x = g.linear(g.flatten(g.global_avg_pool(flow.tensors[0])), {.out_features = 10});
    return only(choice == 0 ? x : g.softmax(x));
  });
  return s;
}

constexpr std::uint8_t choices[] = {2, 3, 3, 3, 3, 2};

std::vector<Code> all_codes() {
  std::vector<Code> codes(1);
  for (const std::uint8_t n : choices) {
    std::vector<Code> longer;
    for (const Code& code : codes) {
      for (std::uint8_t c = 0; c < n; ++c) {
        longer.push_back(code);
        longer.back().push_back(c);
      }
    }
    codes = std::move(longer);
  }
  return codes;
}

Totals direct(const Graph& graph, const Profile& device) {
  const WorkTable work = lower(graph, Mode::fused);
  std::vector<double> time(work.size()), lo(time), hi(time), alpha(time), distance(time);
  const PredictionView view{time, lo, hi, alpha, distance};
  predict(work, device, view);
  return total(work, device, view);
}

bool near(double a, double b) { return std::abs(a - b) <= 1e-12 * std::abs(b); }

void test_equals_the_graph() {
  const SearchSpace s = space();
  const Profile one = profile(1.0), other = profile(3.0);
  const std::vector<const Profile*> both{&one, &other};
  const CompiledSpace compiled = s.compile(both, {.batch = 2});
  for (const Code& code : all_codes()) {
    const Graph graph = s.graph(code, 2);
    const WorkTable work = lower(graph, Mode::fused);
    for (int p = 0; p < 2; ++p) {
      const Totals expected = direct(graph, *both[static_cast<std::size_t>(p)]);
      CHECK(near(compiled.evaluate(code, {Metric::time_s, p}), expected.time_s));
      CHECK(near(compiled.evaluate(code, {Metric::time_lo_s, p}), expected.time_lo_s));
      CHECK(near(compiled.evaluate(code, {Metric::time_hi_s, p}), expected.time_hi_s));
      CHECK(near(compiled.evaluate(code, {Metric::energy_j, p}), 20.0 * expected.time_s));
    }
    std::int64_t macs = 0, params = 0;
    for (std::size_t i = 0; i < work.size(); ++i) {
      macs += work.macs[i];
      params += work.params[i];
    }
    CHECK(compiled.evaluate(code, {Metric::macs}) == static_cast<double>(macs));
    CHECK(compiled.evaluate(code, {Metric::params}) == static_cast<double>(params));
    CHECK(compiled.evaluate(code, {Metric::launches}) == static_cast<double>(work.size()));
    CHECK(compiled.evaluate(code, {Metric::peak_memory_bytes}) ==
          static_cast<double>(peak_memory(graph, Mode::fused).total()));
  }
}

/// Unless another is asked for, a space is priced in the mode that its profiles were timed in.
void test_modes() {
  const SearchSpace s = space();
  const Code code{1, 2, 1, 0, 2, 1};
  for (const Mode mode : {Mode::fused, Mode::fused_relu, Mode::eager}) {
    const Profile device = profile(1.0, "", mode);
    const CompiledSpace compiled = s.compile(device), asked = s.compile(device, {.mode = mode});
    CHECK(compiled.mode() == mode);
    const Totals expected = estimate(s.graph(code), device);
    CHECK(near(compiled.evaluate(code), expected.time_s));
    CHECK(near(compiled.evaluate(code, {Metric::time_hi_s}), expected.time_hi_s));
    for (const Metric metric : {Metric::time_s, Metric::launches, Metric::peak_memory_bytes}) {
      CHECK(compiled.evaluate(code, {metric}) == asked.evaluate(code, {metric}));
    }
  }
  const Profile silent = profile(1.0), eager = profile(1.0, "", Mode::eager);
  const double fused_s = s.compile(silent).evaluate(code);
  const double eager_s = s.compile(eager).evaluate(code);
  CHECK(s.compile(silent).mode() == Mode::fused);
  CHECK(eager_s > 1.1 * fused_s);
  CHECK(s.compile(eager, {.mode = Mode::fused}).evaluate(code) == fused_s);
  const std::vector<const Profile*> both{&silent, &eager};
  CHECK_RAISES(s.compile(both), ModelError,
               "test: profiles were timed in different modes, 'test' in fused, 'test' in eager; ");
  CHECK(s.compile(both, {.mode = Mode::eager}).evaluate(code, {Metric::time_s, 1}) == eager_s);
}

/// Rows side by side, with a gap, backwards; one, some and many; alone and shared.
/// Each network gains as much by itself as in tables, where all gain alike; else about as much.
void test_weights_in_a_cache() {
  const SearchSpace s = space();
  const std::string half = R"("half_rows": {"linear": 8, "conv_1x1": 99, "conv_spatial": 99}}, )";
  const std::string alike = R"("weight_reuse": {"distance_bytes": [1e12], "share": [0.2], )" + half;
  const std::string unlike =
      R"("weight_reuse": {"distance_bytes": [3e4, 1e6], "share": [0.2, 0.9], )" + half;
  for (const auto& [text, error] : {std::pair{&alike, 1e-9}, std::pair{&unlike, 0.03}}) {
    const Profile device = profile(1.0, "", {}, *text);
    const CompiledSpace compiled = s.compile(device), cold = s.compile(profile(1.0));
    for (const Code& code : all_codes()) {
      const double own = estimate(s.graph(code), device).time_s;
      CHECK(std::abs(compiled.evaluate(code) / own - 1.0) < error);
      CHECK(cold.evaluate(code) > own);
    }
  }
}

void test_populations() {
  const CompiledSpace compiled = space().compile(profile(1.0));
  const std::vector<Quantity> quantities{
      {Metric::time_s}, {Metric::macs}, {Metric::time_hi_s}, {Metric::peak_memory_bytes}};
  const Evaluator evaluator = compiled.evaluator(quantities);
  std::mt19937 random(1);
  for (const std::size_t rows : {0, 1, 3, 255, 256, 259, 20000}) {
    for (const std::ptrdiff_t gap : {0, 1, 5}) {
      const std::size_t stride = std::size(choices) + static_cast<std::size_t>(gap);
      const std::size_t bytes = rows == 0 ? 0 : (rows - 1) * stride + std::size(choices);
      const auto codes = std::make_unique<std::uint8_t[]>(bytes);
      for (std::size_t r = 0; r < rows; ++r) {
        for (std::size_t p = 0; p < std::size(choices); ++p) {
          codes[r * stride + p] = static_cast<std::uint8_t>(random() % choices[p]);
        }
      }
      for (const bool backwards : {false, true}) {
        if (backwards && rows == 0) continue;
        const CodesView view{
            codes.get() + (backwards ? (rows - 1) * stride : 0), rows,
            backwards ? -static_cast<std::ptrdiff_t>(stride) : static_cast<std::ptrdiff_t>(stride)};
        for (const int threads : {1, 3}) {
          std::vector<double> time(rows, -1.0), hi(rows, -1.0);
          std::vector<std::int64_t> macs(rows, -1), memory(rows, -1);
          const std::vector<Output> outputs{
              {time.data(), 8}, {macs.data(), 8}, {hi.data(), 8}, {memory.data(), 8}};
          evaluator.evaluate(view, outputs, threads);
          for (std::size_t r = 0; r < rows; r += rows / 7 + 1) {
            const std::uint8_t* at = view.data + static_cast<std::ptrdiff_t>(r) * view.stride;
            const Code code(at, at + std::size(choices));
            CHECK(near(time[r], compiled.evaluate(code)));
            CHECK(near(hi[r], compiled.evaluate(code, {Metric::time_hi_s})));
            CHECK(static_cast<double>(macs[r]) == compiled.evaluate(code, {Metric::macs}));
            CHECK(static_cast<double>(memory[r]) ==
                  compiled.evaluate(code, {Metric::peak_memory_bytes}));
          }
        }
      }
    }
  }
}

void test_queries() {
  const CompiledSpace compiled = space().compile(profile(1.0));
  const std::vector<Code> codes = all_codes();
  double least = INFINITY, most = 0.0, mean = 0.0;
  for (const Code& code : codes) {
    const double time = compiled.evaluate(code);
    least = std::min(least, time);
    most = std::max(most, time);
    mean += time / static_cast<double>(codes.size());
  }
  const Bounds bounds = compiled.bounds();
  CHECK(near(bounds.least, least));
  CHECK(near(bounds.most, most));
  CHECK(near(compiled.evaluate(bounds.cheapest), least));
  CHECK(near(compiled.evaluate(bounds.dearest), most));
  std::vector<double> uniform;
  for (const std::uint8_t n : choices) uniform.insert(uniform.end(), n, 1.0 / n);
  std::vector<double> gradient(uniform.size());
  CHECK(std::abs(compiled.expected(uniform, gradient) - mean) < 1e-12 * mean);
  for (std::size_t i = 0; i < uniform.size(); ++i) {  // linear in each, so any step is exact
    std::vector<double> moved = uniform;
    moved[i] += 0.5;
    const double slope = (compiled.expected(moved, {}) - mean) / 0.5;
    CHECK(std::abs(gradient[i] - slope) < 1e-10 * mean);
  }
  for (std::size_t i = 0; i < codes.size(); i += 5) {
    for (int p = 0; p < 6; ++p) {
      for (int c = 0; c < choices[p]; ++c) {
        Code changed = codes[i];
        changed[static_cast<std::size_t>(p)] = static_cast<std::uint8_t>(c);
        const double difference = compiled.evaluate(changed) - compiled.evaluate(codes[i]);
        CHECK(std::abs(compiled.delta(codes[i], p, c) - difference) < 1e-12 * most);
      }
    }
  }
}

void test_errors() {
  const SearchSpace s = space();
  const CompiledSpace compiled = s.compile(profile(1.0));
  const Code bad{0, 0, 3, 0, 0, 0}, good{0, 0, 0, 0, 0, 0}, shorter{0, 0};
  CHECK_RAISES(s.graph(bad), ModelError, "3 at position 2 ('block1')");
  CHECK_RAISES(s.graph(shorter), ModelError, "2 positions");
  CHECK_RAISES(compiled.evaluate(bad), ModelError, "3 at position 2");
  CHECK_RAISES(compiled.delta(good, 6, 0), ModelError, "position 6");
  CHECK_RAISES(compiled.delta(good, 5, 2), ModelError, "choice 2");
  CHECK_RAISES(compiled.bounds({Metric::time_lo_s}), UnsupportedError, "time_lo_s");
  CHECK_RAISES(compiled.evaluate(good, {Metric::time_s, 1}), ModelError, "profile 1");
  std::vector<double> weights(16, 0.5);
  weights[3] = NAN;
  CHECK_RAISES(compiled.expected(weights, {}), ModelError, "choice '12' at position 1");
  CHECK_RAISES(s.compile(profile(1.0, "pool")), ProfileError, "pool in fp32");
  const Evaluator evaluator = compiled.evaluator(std::vector<Quantity>{{}});
  Code rows;
  for (int i = 0; i < 300; ++i) rows.insert(rows.end(), good.begin(), good.end());
  rows[6 * 290 + 5] = 9;
  std::vector<double> time(300);
  const std::vector<Output> output{{time.data(), 8}};
  CHECK_RAISES(evaluator.evaluate({rows.data(), 300, 6}, output), ModelError,
               "code 290 has 9 at position 5 ('head'); choices run from 0 to 1");
  SearchSpace broken("broken");
  broken.choose("first", {"a", "b"}, [](Graph& g, const Flow&, int choice) {
    return only(g.input({1, choice == 0 ? 4 : 6, 8, 8}));
  });
  broken.choose("second", {"c"}, [](Graph& g, const Flow& flow, int) {
    return only(g.conv2d(flow.tensors[0], {.c_out = 8, .groups = 4}));
  });
  CHECK_RAISES(broken.compile(profile(1.0)), ShapeError,
               "broken: part 'second', choice 'c', behind [1, 6, 8, 8]");
  SearchSpace careless("careless");
  careless.choose("only", {"a"}, [](Graph& g, const Flow& flow, int) {
    return only(g.input({flow.notes.at(1)}));
  });
  CHECK_RAISES(careless.compile(profile(1.0)), ModelError, "careless: part 'only', choice 'a'");
  const std::vector<const Profile*> absent{nullptr};
  CHECK_RAISES(s.compile(absent), ProfileError, "profile 0 is null");
  for (const double bytes : {-5.0, static_cast<double>(NAN)}) {
    CHECK_RAISES(s.compile(profile(1.0), {.reuse_bytes = bytes}), ShapeError, "reuse_bytes is ");
  }
  SearchSpace tangled("tangled");
  tangled.add("", std::make_shared<const Step>(
                      [](Graph& g, const Flow&, int) { return only(g.input({1, 4})); }));
  for (int i = 0; i < 12; ++i) {
    tangled.choose(std::to_string(i), std::vector<std::string>(8, "any"),
                   [](Graph&, const Flow& flow, int choice) {
                     Flow out = flow;
                     out.notes.push_back(choice);
                     return out;
                   });
  }
  CHECK_RAISES(
      tangled.compile(profile(1.0)), UnsupportedError,
      "positions '0', '1', '2', '3', '4': a table of 32768 entries; at most 4194304 over 4");
  SearchSpace wide("wide");
  std::vector<std::string> many(256, "any");
  for (const char* name : {"a", "b", "c"}) wide.position(name, many);
  wide.add("", std::make_shared<const Step>([](Graph& g, const Flow&, int choice) {
             return Flow{{g.input({1, 4})}, {choice % 2}};
           }),
           0);
  for (const int reads : {1, 2}) {
    wide.add("part", std::make_shared<const Step>([](Graph&, const Flow& flow, int choice) {
               return Flow{flow.tensors, {flow.notes[0] ^ (choice % 2)}};
             }),
             reads);
  }
  CHECK_RAISES(wide.compile(profile(1.0)), UnsupportedError,
               "depends on positions 'a', 'b', 'c': a table of 16777216 entries");
}

/// Each part fits, the sum of all does not.
void test_counts_that_do_not_fit() {
  SearchSpace huge("huge");
  huge.add("", std::make_shared<const Step>([](Graph& g, const Flow&, int) {
             return only(g.input({std::int64_t{1} << 39, 2048}));
           }));
  for (int i = 0; i < 3; ++i) {
    huge.choose(std::to_string(i), {"none", "linear"}, [](Graph& g, const Flow& flow, int choice) {
      return choice == 0 ? flow : only(g.linear(flow.tensors[0], {.out_features = 2048}));
    });
  }
  CHECK_RAISES(huge.compile(profile(1.0)), OverflowError,
               "space 'huge': flops of its largest network exceeds");
}

void test_threads_that_do_not_start() {
#ifdef CHECK_CAN_LIMIT_MEMORY
  const CompiledSpace compiled = space().compile(profile(1.0));
  const Evaluator evaluator = compiled.evaluator(std::vector<Quantity>{{}});
  const std::size_t rows = 64 * 8192;
  const Code codes(rows * 6);
  std::vector<double> time(rows);
  const std::vector<Output> output{{time.data(), 8}};
  const check::ScarceMemory little(std::int64_t{4} << 20);
  if (!little.holds()) return;
  CHECK_RAISES(evaluator.evaluate({codes.data(), rows, 6}, output, 64), UnsupportedError,
               "threads is 64; the system lets it have ");
#endif
}

}  // namespace

int main() {
  test_equals_the_graph();
  test_modes();
  test_weights_in_a_cache();
  test_populations();
  test_queries();
  test_errors();
  test_counts_that_do_not_fit();
  test_threads_that_do_not_start();
  return check::finish();
}
