// Populations on every instruction set: sums in registers are those of lookups in memory, bit for
// bit. Codes are heap arrays of their exact size, so that the address sanitizer sees reads behind
// them.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "alphaflops/compiled_space.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/isa.hpp"
#include "alphaflops/profile.hpp"
#include "alphaflops/space_tables.hpp"
#include "check.hpp"

namespace {

using namespace alphaflops;

Profile device() {
  return Profile::parse(R"({"format": "alphaflops-profile", "version": 1, "name": "test",
    "device": {"name": "test"}, "provenance": {"backend": "native"}, "interval_level": 0.9,
    "power_w": 7.3, "overhead_s": 3e-6, "models": [
    {"kind": "conv_1x1", "pass": "forward", "dtype": "fp32", "form": "traffic",
     "parameters": {"seconds_per_byte_read": 1.7e-10, "seconds_per_byte_written": 2.3e-10},
     "interval": {"lower_factor": 0.83, "upper_factor": 1.19}}]})");
}

/// Blocks that leave the shape alone, so that every position has a table of its own.
SearchSpace space(const std::vector<int>& choices) {
  SearchSpace s("blocks");
  s.add("image", std::make_shared<const Step>([](Graph& g, const Flow& flow, int) {
          return Flow{.tensors = {g.input({flow.notes[0], 3, 8, 8})}, .notes = {}};
        }));
  for (std::size_t p = 0; p < choices.size(); ++p) {
    std::vector<std::string> names;
    for (int c = 0; c < choices[p]; ++c) names.push_back(std::to_string(c));
    s.choose(std::to_string(p), names, [p](Graph& g, const Flow& flow, int choice) {
      const int x = g.conv2d(flow.tensors[0], {.c_out = 5 + 7 * choice + static_cast<int>(p)});
      return Flow{.tensors = {g.conv2d(x, {.c_out = 3})}, .notes = {}};
    });
  }
  return s;
}

Evaluator evaluator(const CompiledSpace& compiled, const std::vector<Quantity>& quantities,
                    const char* isa) {
  ::setenv("ALPHAFLOPS_ISA", isa, 1);
  const Evaluator result = compiled.evaluator(quantities);
  ::unsetenv("ALPHAFLOPS_ISA");
  return result;
}

/// Codes, the first of them where it is asked for, with as few bytes around as there can be.
struct Codes {
  std::unique_ptr<std::uint8_t[]> bytes;
  CodesView view;

  Codes(const std::vector<int>& choices, std::size_t rows, std::ptrdiff_t stride,
        std::size_t offset, std::mt19937& random) {
    const auto step = static_cast<std::size_t>(std::abs(stride));
    const std::size_t size = rows == 0 ? 0 : (rows - 1) * step + choices.size();
    bytes = std::make_unique<std::uint8_t[]>(offset + size);
    std::uint8_t* first = bytes.get() + offset;
    std::fill_n(bytes.get(), offset + size, std::uint8_t{255});  // between codes may be anything
    for (std::size_t r = 0; r < (step == 0 ? std::min<std::size_t>(rows, 1) : rows); ++r) {
      for (std::size_t p = 0; p < choices.size(); ++p) {
        first[r * step + p] =
            static_cast<std::uint8_t>(random() % static_cast<unsigned>(choices[p]));
      }
    }
    if (stride < 0 && rows > 0) first += (rows - 1) * step;
    view = {first, rows, stride};
  }
};

/// Where results go: a column each, side by side in rows, or in rows from the last to the first.
enum class Layout { columns, rows, backwards };

std::vector<std::uint64_t> results(const Evaluator& evaluator, CodesView codes, Layout layout,
                                   int threads) {
  const std::size_t n = evaluator.quantities().size();
  constexpr std::uint64_t untouched = 0x0123456789abcdef;
  std::vector<std::uint64_t> words(std::max<std::size_t>(1, n * codes.rows), untouched);
  std::vector<Output> outputs;
  const auto row = static_cast<std::ptrdiff_t>(8 * n);
  for (std::size_t q = 0; q < n; ++q) {
    switch (layout) {
      case Layout::columns: outputs.push_back({words.data() + q * codes.rows, 8}); break;
      case Layout::rows: outputs.push_back({words.data() + q, row}); break;
      case Layout::backwards:
        outputs.push_back({words.data() + (codes.rows == 0 ? 0 : codes.rows - 1) * n + q, -row});
        break;
    }
  }
  evaluator.evaluate(codes, outputs, threads);
  if (codes.rows > 0) {
    CHECK(std::ranges::find(words, untouched) == words.end());
  } else {
    CHECK(words.front() == untouched);
  }
  return words;
}

bool has_registers() { return best_isa() == Isa::avx512; }

void compare(const std::vector<int>& choices, const std::vector<Quantity>& quantities,
             bool in_registers) {
  const CompiledSpace compiled = space(choices).compile(device());
  const Evaluator memory = evaluator(compiled, quantities, "scalar");
  const Evaluator best = compiled.evaluator(quantities);
  CHECK(memory.tables().digits.empty());
  CHECK(best.tables().digits.empty() == !(in_registers && has_registers()));
  std::mt19937 random(static_cast<unsigned>(choices.size()));
  const auto positions = static_cast<std::ptrdiff_t>(choices.size());
  for (const std::size_t rows : {0, 1, 7, 8, 31, 32, 33, 64, 255, 256, 257, 300, 549}) {
    for (const std::ptrdiff_t stride : {positions, positions + 3, -positions - 1}) {
      const Codes codes(choices, rows, stride, rows % 3, random);
      for (const Layout layout : {Layout::columns, Layout::rows, Layout::backwards}) {
        CHECK(results(best, codes.view, layout, 1) == results(memory, codes.view, layout, 1));
      }
    }
  }
  const Codes same(choices, 70, 0, 1, random);
  CHECK(results(best, same.view, Layout::rows, 1) == results(memory, same.view, Layout::rows, 1));
  const Codes many(choices, 40001, positions, 1, random);
  const auto alone = results(memory, many.view, Layout::rows, 1);
  for (const int threads : {1, 3}) {
    CHECK(results(best, many.view, Layout::rows, threads) == alone);
  }
}

void test_positions() {
  const std::vector<Quantity> time{{Metric::time_s}};
  for (const std::size_t positions : {1, 2, 3, 4, 7, 8, 9, 15, 17, 22, 33}) {
    std::vector<int> choices;
    for (std::size_t p = 0; p < positions; ++p) choices.push_back(static_cast<int>(2 + p * 5 % 15));
    compare(choices, time, true);
  }
  compare({16, 16, 16}, time, true);
  compare({3, 17, 3}, time, false);
}

void test_quantities() {
  const std::vector<Quantity> all{{Metric::time_s},      {Metric::macs},
                                  {Metric::params},      {Metric::bytes_read},
                                  {Metric::energy_j},    {Metric::bytes_written},
                                  {Metric::launches},    {Metric::time_lo_s},
                                  {Metric::alpha_flops}, {Metric::peak_memory_bytes},
                                  {Metric::flops},       {Metric::time_hi_s}};
  const std::vector<int> choices{9, 4, 16, 2, 7, 9, 9, 3, 5, 8, 6};
  for (std::size_t n = 2; n <= all.size(); ++n) {
    compare(choices, {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(n)}, true);
  }
  compare(choices, {all.rbegin(), all.rend()}, true);
}

/// Whole numbers are summed as such up to what 32 bits hold, and beyond it as well.
void test_large_counts() {
  const std::vector<int> choices{9, 4, 16};
  const std::vector<Quantity> both{{Metric::time_s}, {Metric::macs}};
  for (const std::int64_t batch : {1, 1 << 22}) {
    const CompiledSpace compiled = space(choices).compile(device(), {.batch = batch});
    const Evaluator memory = evaluator(compiled, both, "scalar"), best = compiled.evaluator(both);
    std::mt19937 random(3);
    const Codes codes(choices, 100, 3, 0, random);
    const auto words = results(best, codes.view, Layout::columns, 1);
    CHECK(words == results(memory, codes.view, Layout::columns, 1));
    const bool small = *std::max_element(words.begin() + 100, words.end()) < (1ull << 32);
    CHECK(small == (batch == 1));
    if (has_registers()) CHECK(best.tables().digits.counted == std::vector<bool>({false, small}));
  }
}

/// What `evaluate` says of codes.
std::string said(const Evaluator& evaluator, CodesView codes) {
  std::vector<double> time(codes.rows);
  try {
    evaluator.evaluate(codes, std::vector<Output>{{time.data(), 8}});
  } catch (const ModelError& error) {
    return error.what();
  }
  return "";
}

void test_errors() {
  const std::vector<int> choices{9, 16, 3, 9, 9, 9, 9, 9, 9, 5, 9};
  const CompiledSpace compiled = space(choices).compile(device());
  const std::vector<Quantity> time{{Metric::time_s}};
  const Evaluator memory = evaluator(compiled, time, "scalar"), best = compiled.evaluator(time);
  std::mt19937 random(5);
  for (const std::size_t rows : {1, 40, 600}) {
    const Codes codes(choices, rows, 12, 0, random);
    CHECK(said(best, codes.view).empty());
    for (std::size_t p = 0; p < choices.size(); ++p) {
      for (const std::size_t row : {std::size_t{0}, rows / 2, rows - 1}) {
        for (const int digit : {choices[p], 16 + choices[p] - 1, 128, 255}) {
          std::uint8_t& at = codes.bytes[row * 12 + p];
          const std::uint8_t before = at;
          at = static_cast<std::uint8_t>(digit);
          const std::string error = said(best, codes.view);
          CHECK(error.starts_with("blocks: code " + std::to_string(row) + " has " +
                                  std::to_string(digit) + " at position " + std::to_string(p)));
          CHECK(error == said(memory, codes.view));
          at = before;
        }
      }
    }
  }
}

}  // namespace

int main() {
  test_positions();
  test_quantities();
  test_large_counts();
  test_errors();
  return check::finish();
}
