#include "alphaflops/cost.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../kernels/dispatch.hpp"
#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

static_assert(launch_block == kernels::kCostRows);

const kernels::CostTable& best_table() {
  static const kernels::CostTable& best = kernels::cost_table(best_isa());
  return best;
}

constexpr std::array<std::string_view, 8> algorithm_names{
    "implicit_gemm", "row_gemm",  "channelwise",     "group_gemm",
    "depthwise",     "winograd4", "winograd2_fused", "fft"};

}  // namespace

std::string_view to_string(TileAlgorithm algorithm) {
  return algorithm_names[static_cast<std::size_t>(algorithm)];
}

TileAlgorithm parse_tile_algorithm(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < algorithm_names.size(); ++i) {
    if (algorithm_names[i] == name) return static_cast<TileAlgorithm>(i);
    known += (known.empty() ? "" : ", ") + std::string(algorithm_names[i]);
  }
  throw UnsupportedError("algorithm '" + std::string(name) + "' is not known; use one of " + known);
}

LaunchColumns columns_of(const WorkTable& w, std::size_t first) {
  const auto from = [first](const auto& column) { return column.data() + first; };
  return {.batch = from(w.batch),
          .spatial = from(w.spatial),
          .kernel_volume = from(w.kernel_volume),
          .macs = from(w.macs),
          .activations_read = from(w.activations_read),
          .weights_read = from(w.weights_read),
          .elements_written = from(w.elements_written),
          .c_in = from(w.c_in),
          .c_out = from(w.c_out),
          .groups = from(w.groups),
          .width = from(w.width),
          .kernel_width = from(w.kernel_width),
          .stride = from(w.stride),
          .padded_elements = from(w.padded_elements),
          .biased = from(w.biased),
          .element_bytes = first < w.size() ? static_cast<double>(size_of(w.dtype[first])) : 1.0,
          .flops = from(w.flops),
          .op = from(w.op)};
}

LaunchColumns rows_from(LaunchColumns columns, std::size_t first) {
  for (const NamedColumn& named : launch_columns) {
    const std::int64_t*& column = columns.*named.column;
    if (column != nullptr) column += first;
  }
  if (columns.biased != nullptr) columns.biased += first;
  if (columns.op != nullptr) columns.op += first;
  return columns;
}

double alpha(double s, double kernel_volume, double beta, double gamma) {
  const double extent = std::max(s, 1.0);
  const double s_k = std::min(std::log(kernel_volume) + 1.0, extent);
  return std::pow((s_k + beta * (extent - s_k)) / extent, gamma);
}

void seconds(const Cost& cost, const LaunchColumns& x, int n, double* time_s, double* alpha) {
  const kernels::CostTable& table = best_table();
  struct {
    const kernels::CostTable& table;
    const LaunchColumns& x;
    int n;
    double *time_s, *alpha;

    void operator()(const AlphaCost& c) const { table.alpha(&c, &x, n, time_s, alpha); }
    void operator()(const RooflineCost& c) const { table.roofline(&c, &x, n, time_s, alpha); }
    void operator()(const TrafficCost& c) const {
      const bool alike = c.op_factors.empty() || x.op == nullptr;
      table.traffic(&c, alike ? nullptr : c.op_factors.data(), &x, n, time_s);
      std::fill_n(alpha, n, std::numeric_limits<double>::quiet_NaN());
    }
    void operator()(const TiledCost& c) const {
      const int count = static_cast<int>(c.candidates.size());
      table.tiled(&c, c.candidates.data(), count, &x, n, time_s);
      std::fill_n(alpha, n, std::numeric_limits<double>::quiet_NaN());
    }
  } const evaluate{table, x, n, time_s, alpha};
  std::visit(evaluate, cost);
}

void add_beyond(const CacheTerms& cache, const LaunchColumns& x, int n, double* time_s) {
  if (cache.seconds_per_byte_beyond != 0.0) best_table().beyond(&cache, &x, n, time_s);
}

void add_fresh(const FreshMemory& fresh, const LaunchColumns& x, int n, double* time_s) {
  if (fresh.from_bytes == 0.0) return;
  const auto price = [&](double rate, std::int64_t elements) {
    const double bytes = x.element_bytes * static_cast<double>(elements);
    return bytes >= fresh.from_bytes ? rate * bytes : 0.0;
  };
  for (int i = 0; i < n; ++i) {
    if (x.op != nullptr && !fresh.in_place.empty() && fresh.in_place[x.op[i]] != 0) continue;
    time_s[i] += price(fresh.seconds_per_byte_read, x.activations_read[i]) +
                 price(fresh.seconds_per_byte_written, x.elements_written[i]) +
                 price(fresh.seconds_per_weight_byte, x.weights_read[i]);
  }
}

void traits_of(const LaunchColumns& x, const double* core_s, int n, Traits& traits) {
  best_table().traits(&x, core_s, n, traits[0].data());
}

bool Domain::surely_holds(const LaunchColumns& x, const double* core_s, int n) const {
  return best_table().all_inside(&x, core_s, n, least_.data(), most_.data());
}

void Forest::sums(const Traits& traits, int n, double* sums) const {
  best_table().forest(splits_.data(), ends_.data(), leaves_.data(), static_cast<int>(ends_.size()),
                      traits[0].data(), n, sums);
}

std::string_view form_name(const Cost& cost) {
  constexpr std::array<std::string_view, 4> names{"alpha", "traffic", "roofline-alpha", "tiled"};
  return names[cost.index()];
}

}  // namespace alphaflops
