// Populations on the emulated GPU against Evaluator: the same sums in the same order, bit for bit.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "../../cuda/kernels/population.cuh"
#include "../cpp/check.hpp"
#include "alphaflops/compiled_space.hpp"
#include "alphaflops/profile.hpp"
#include "alphaflops/space_tables.hpp"

namespace {

using namespace alphaflops;
using cuda::PopulationParams;
using Kernel = void (*)(PopulationParams);

// As python/alphaflops/spaces/gpu.py packs them.
static_assert(sizeof(PopulationParams) == 120);
static_assert(sizeof(cuda::PopulationLookup) == 40);
static_assert(sizeof(cuda::PopulationFinish) == 32);
static_assert(sizeof(cuda::PopulationDigit) == 8);

/// Every kind at its own speed, with an interval.
Profile profile() {
  std::string models;
  int i = 0;
  for (const char* kind :
       {"conv_1x1", "conv_spatial", "conv_grouped", "linear", "elementwise", "norm", "pool"}) {
    const std::string number = std::to_string(++i);
    models += std::string(i == 1 ? "" : ",") + R"({"kind": ")" + kind +
              R"(", "pass": "forward", "dtype": "fp32", "form": "traffic", "parameters": {)" +
              R"("seconds_per_byte_read": )" + number + R"(e-10, "seconds_per_byte_written": )" +
              number + R"(e-11}, "interval": {"lower_factor": 0.8, "upper_factor": 1.)" + number +
              "}}";
  }
  return Profile::parse(R"({"format": "alphaflops-profile", "version": 1, "name": "test",
    "device": {"name": "test"}, "provenance": {"backend": "native"}, "interval_level": 0.9,
    "power_w": 20.0, "overhead_s": 3e-6, "models": [)" +
                        models + "]}");
}

/// Five widths, each of which the next block depends on, and a position that changes nothing.
SearchSpace space() {
  SearchSpace s("test");
  s.add("", std::make_shared<const Step>([](Graph& g, const Flow& flow, int) {
          return Flow{.tensors = {g.input({flow.notes[0], 3, 8, 8})}, .notes = {}};
        }));
  for (int block = 0; block < 5; ++block) {
    s.choose(std::to_string(block), {"8", "12", "20", "3x3"}, [](Graph& g, const Flow& f, int c) {
      const int widths[] = {8, 12, 20, 8};
      const std::int64_t kernel = c == 3 ? 3 : 1, pad = kernel / 2;
      int x = g.conv2d(f.tensors[0],
                       {.c_out = widths[c],
                        .window = {.kernel = {kernel, kernel}, .pad = {pad, pad, pad, pad}}});
      x = g.activation(g.batch_norm(x), Activation::relu);
      return Flow{.tensors = {g.conv2d(x, {.c_out = 8 + c})}, .notes = {}};
    });
    if (block == 2) s.position("nothing", {"a", "b"});
  }
  return s;
}

/// What a host hands to the kernel, from an evaluator's tables.
struct Packed {
  std::vector<double> values, base;
  std::vector<cuda::PopulationLookup> lookups;
  std::vector<cuda::PopulationFinish> finishes;
  std::vector<int> widths;
  std::vector<cuda::PopulationDigit> others;

  explicit Packed(const Evaluator::Tables& t) : values(t.values), base(t.base) {
    values.insert(values.end(), t.peak_values.begin(), t.peak_values.end());
    base.push_back(t.base_peak);
    std::vector<bool> read(t.last.size(), false);
    const auto take = [&](const Lookup& from, std::size_t offset) {
      cuda::PopulationLookup to{};
      to.offset = static_cast<unsigned>(from.offset + offset);
      to.digits = from.digits;
      for (std::size_t d = 0; d < static_cast<std::size_t>(from.digits); ++d) {
        const auto p = static_cast<std::size_t>(from.position[d]);
        to.stride[d] = from.stride[d];
        to.position[d] = static_cast<unsigned short>(p);
        to.last[d] = t.last[p];
        read[p] = true;
      }
      lookups.push_back(to);
    };
    for (const Lookup& lookup : t.sums) take(lookup, 0);
    for (const Lookup& lookup : t.peaks) take(lookup, t.values.size());
    for (std::size_t p = 0; p < read.size(); ++p) {
      if (!read[p]) others.push_back({static_cast<int>(p), t.last[p]});
    }
    for (const Finish& f : t.finish) {
      finishes.push_back({static_cast<int>(f.kind), static_cast<int>(f.column),
                          static_cast<int>(widths.size()), static_cast<int>(f.widths.size()),
                          f.integer ? 1 : 0, 0, f.scale});
      for (const std::size_t w : f.widths) widths.push_back(static_cast<int>(w));
    }
  }
};

Kernel kernel_of(std::size_t columns, bool shared) {
  switch (columns) {
    case 1: return shared ? cuda::population_1_shared : cuda::population_1_global;
    case 2: return shared ? cuda::population_2_shared : cuda::population_2_global;
    case 4: return shared ? cuda::population_4_shared : cuda::population_4_global;
    case 8: return shared ? cuda::population_8_shared : cuda::population_8_global;
    default: return shared ? cuda::population_0_shared : cuda::population_0_global;
  }
}

struct Run {
  std::vector<std::uint64_t> output;  // bits, [quantities][rows]
  unsigned long long error = 0;
};

Run run(const Evaluator::Tables& t, const std::uint8_t* codes, std::size_t rows, Kernel kernel,
        bool shared, unsigned blocks, unsigned threads) {
  const Packed packed(t);
  Run result;
  result.output.assign(t.quantities.size() * rows, 0x7ff8dead00000000u);
  const auto up = [](std::size_t bytes) { return (bytes + 15) / 16 * 16; };
  const std::size_t lookups_offset = shared ? up(packed.values.size() * sizeof(double)) : 0;
  const std::size_t codes_offset =
      shared ? up(lookups_offset + packed.lookups.size() * sizeof(cuda::PopulationLookup)) : 0;
  const PopulationParams params{
      .codes = codes,
      .values = packed.values.data(),
      .lookups = packed.lookups.data(),
      .base = packed.base.data(),
      .finishes = packed.finishes.data(),
      .widths = packed.widths.data(),
      .others = packed.others.data(),
      .output = result.output.data(),
      .error = &result.error,
      .rows = static_cast<long long>(rows),
      .positions = static_cast<int>(t.positions.size()),
      .columns = static_cast<int>(t.columns),
      .quantities = static_cast<int>(t.quantities.size()),
      .sums = static_cast<int>(t.sums.size()),
      .peaks = static_cast<int>(t.peaks.size()),
      .other_count = static_cast<int>(packed.others.size()),
      .value_count = static_cast<int>(packed.values.size()),
      .lookups_offset = static_cast<int>(lookups_offset),
      .codes_offset = static_cast<int>(codes_offset),
      .aligned = reinterpret_cast<std::uintptr_t>(codes) % 16 == 0 ? 1 : 0,
  };
  emulate::launch(kernel, dim3{blocks, 1, 1}, dim3{threads, 1, 1},
                  codes_offset + threads * t.positions.size(), params);
  return result;
}

std::vector<std::uint64_t> expected(const Evaluator& evaluator, const std::uint8_t* codes,
                                    std::size_t rows) {
  const std::size_t n = evaluator.quantities().size(), positions = evaluator.tables().last.size();
  std::vector<std::uint64_t> bits(n * rows);
  std::vector<Output> outputs;
  for (std::size_t q = 0; q < n; ++q) outputs.push_back({&bits[q * rows], 8});
  // A copy: Evaluator is checked for what it reads elsewhere.
  const std::vector<std::uint8_t> copy(codes, codes + rows * positions);
  evaluator.evaluate({copy.data(), rows, static_cast<std::ptrdiff_t>(positions)}, outputs);
  return bits;
}

double as_double(std::uint64_t bits) {
  double value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

void equal(const Evaluator& evaluator, const std::uint8_t* codes, std::size_t rows,
           const std::string& what) {
  const Evaluator::Tables& t = evaluator.tables();
  const std::vector<std::uint64_t> want = expected(evaluator, codes, rows);
  for (const bool shared : {true, false}) {
    for (const std::size_t columns : {t.columns, std::size_t{0}}) {
      const Run got = run(t, codes, rows, kernel_of(columns, shared), shared, 2, 64);
      CHECK_MESSAGE(got.error == 0, what + ": reports a bad code");
      for (std::size_t i = 0; i < want.size(); ++i) {
        const Finish& f = t.finish[i / rows];
        const double a = as_double(want[i]), b = as_double(got.output[i]);
        const bool same = f.kind == Finish::Kind::interval
                              ? std::fabs(a - b) <= 1e-15 * std::fabs(a)
                              : want[i] == got.output[i];
        CHECK_MESSAGE(same, what + ": element " + std::to_string(i));
      }
    }
  }
}

}  // namespace

int main() {
  const SearchSpace searched = space();
  const Profile one = profile();
  const CompiledSpace compiled = searched.compile(one);
  const std::size_t positions = searched.positions().size();
  std::mt19937 random(0);
  constexpr std::size_t rows = 300;  // not a multiple of a block's
  std::vector<std::uint8_t> memory(rows * positions + 32);
  auto* codes = memory.data() + (16 - reinterpret_cast<std::uintptr_t>(memory.data()) % 16);
  for (std::size_t i = 0; i < rows * positions; ++i) {
    codes[i] =
        static_cast<std::uint8_t>(random() % searched.positions()[i % positions].choices.size());
  }
  const std::vector<std::vector<Metric>> sets{
      {Metric::time_s},
      {Metric::time_s, Metric::macs},
      {Metric::macs, Metric::params, Metric::time_s, Metric::bytes_read},
      {Metric::energy_j, Metric::alpha_flops, Metric::macs, Metric::flops, Metric::params,
       Metric::bytes_read, Metric::bytes_written, Metric::launches},
      {Metric::peak_memory_bytes, Metric::time_s},
      {Metric::time_lo_s, Metric::time_hi_s, Metric::peak_memory_bytes, Metric::macs},
  };
  for (const auto& metrics : sets) {
    std::vector<Quantity> quantities;
    std::string what;
    for (const Metric metric : metrics) {
      quantities.push_back({metric, 0});
      what += std::string(to_string(metric)) + " ";
    }
    const Evaluator evaluator = compiled.evaluator(quantities);
    equal(evaluator, codes, rows, what);
    equal(evaluator, codes + positions, rows - 1, what + "misaligned");  // positions is no 16
    equal(evaluator, codes, 1, what + "one row");

    // The first bad row is told, and nothing is read outside of a table.
    for (const std::size_t position : {std::size_t{0}, std::size_t{3}, positions - 1}) {
      std::vector<std::uint8_t> bad(codes, codes + rows * positions);
      for (const std::size_t row : {std::size_t{250}, std::size_t{77}}) {
        bad[row * positions + position] = 255;
        for (const bool shared : {true, false}) {
          const Kernel kernel = kernel_of(evaluator.tables().columns, shared);
          const Run got = run(evaluator.tables(), bad.data(), rows, kernel, shared, 3, 32);
          CHECK(got.error == ~static_cast<unsigned long long>(row));
        }
      }
    }
  }
  return check::finish();
}
