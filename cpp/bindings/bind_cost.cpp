// What a fit evaluates again and again: one form on the same launches with many sets of parameters.
#include <algorithm>
#include <array>

#include "alphaflops/cost.hpp"
#include "alphaflops/error.hpp"
#include "bindings.hpp"

namespace alphaflops::python {
namespace {

using Reals = py::array_t<double, py::array::c_style | py::array::forcecast>;

class Launches {
 public:
  explicit Launches(WorkTable work) : work_(std::move(work)) {
    for (const DType dtype : work_.dtype) {
      if (dtype != work_.dtype[0]) throw ShapeError("launches of several dtypes; take one");
    }
  }
  std::size_t size() const { return work_.size(); }

  /// Calls `visit` with columns, their first row and how many rows.
  template <typename Visit>
  void each_block(Visit&& visit) const {
    for (std::size_t first = 0; first < size(); first += launch_block) {
      const std::size_t n = std::min<std::size_t>(launch_block, size() - first);
      visit(columns_of(work_, first), first, static_cast<int>(n));
    }
  }

  /// Seconds [sets, rows]; `cost_of` makes a cost from the numbers of a set.
  template <typename CostOf>
  Reals seconds_of(const Reals& parameters, std::size_t width, CostOf&& cost_of) const {
    if (parameters.ndim() != 2 || static_cast<std::size_t>(parameters.shape(1)) != width) {
      throw ShapeError("parameters must be [sets, " + std::to_string(width) + "]");
    }
    const auto sets = static_cast<std::size_t>(parameters.shape(0));
    Reals out({sets, size()});
    double* to = out.mutable_data();
    const double* from = parameters.data();
    const py::gil_scoped_release release;
    for (std::size_t b = 0; b < sets; ++b, to += size()) {
      const Cost cost = cost_of(from + b * width);
      each_block([&cost, to](const LaunchColumns& x, std::size_t first, int n) {
        std::array<double, launch_block> alpha;
        seconds(cost, x, n, to + first, alpha.data());
      });
    }
    return out;
  }

 private:
  WorkTable work_;
};

constexpr std::size_t roofline_width = 12;
RooflineCost roofline_of(const double* p) {
  return {p[0], p[1], p[2], p[3], p[4], p[5], p[6], p[7], p[8], p[9], p[10], p[11]};
}

constexpr std::size_t candidate_width = 8;

Reals tiled_s(const Launches& launches, const std::vector<std::string>& algorithms,
              const Reals& tiles, double processors, const Reals& parameters, int doublings) {
  const std::size_t n = algorithms.size();
  if (tiles.ndim() != 2 || static_cast<std::size_t>(tiles.shape(0)) != n || tiles.shape(1) != 2) {
    throw ShapeError("tiles must be [" + std::to_string(n) + ", 2]");
  }
  if (n > std::size_t{most_candidates}) {
    throw ShapeError("at most " + std::to_string(most_candidates) + " candidates");
  }
  TiledCost cost;
  cost.processors = processors;
  cost.doublings = doublings;
  for (std::size_t k = 0; k < n; ++k) {
    TileCandidate c;
    c.algorithm = parse_tile_algorithm(algorithms[k]);
    c.tile_rows = tiles.data()[2 * k];
    c.tile_columns = tiles.data()[2 * k + 1];
    cost.candidates.push_back(c);
  }
  return launches.seconds_of(parameters, candidate_width * n + 2, [&cost, n](const double* p) {
    for (std::size_t k = 0; k < n; ++k, p += candidate_width) {
      TileCandidate& c = cost.candidates[k];
      c.seconds_per_mac = p[0];
      c.depth_overhead = p[1];
      c.start_waves = p[2];
      c.whole_waves = p[3];
      c.floor_s = p[4];
      c.seconds_per_byte_read = p[5];
      c.seconds_per_byte_written = p[6];
      c.seconds_per_weight_byte = p[7];
    }
    cost.seconds_per_biased_byte = p[0];
    cost.seconds_per_padded_byte = p[1];
    return cost;
  });
}

py::array_t<float> traits(const Launches& launches, const Reals& core_s) {
  if (static_cast<std::size_t>(core_s.size()) != launches.size()) {
    throw ShapeError("core_s has " + std::to_string(core_s.size()) + " elements; there are " +
                     std::to_string(launches.size()) + " launches");
  }
  py::array_t<float> out({launches.size(), std::size_t{trait_count}});
  float* to = out.mutable_data();
  launches.each_block([to, &core_s](const LaunchColumns& x, std::size_t first, int n) {
    Traits traits;
    traits_of(x, core_s.data() + first, n, traits);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
      for (std::size_t k = 0; k < traits.size(); ++k) {
        to[(first + i) * traits.size() + k] = traits[k][i];
      }
    }
  });
  return out;
}

}  // namespace

void bind_cost(py::module_& m) {
  using py::arg;
  py::tuple names(trait_count);
  for (std::size_t k = 0; k < trait_count; ++k) names[k] = std::string(trait_names[k]);
  m.attr("TRAITS") = names;
  m.attr("BOUNDED_TRAITS") = bounded_trait_count;
  py::class_<Launches>(m, "Launches")
      .def(py::init<WorkTable>(), arg("work"))
      .def("__len__", &Launches::size)
      .def(
          "roofline_s",
          [](const Launches& launches, const Reals& parameters) {
            return launches.seconds_of(parameters, roofline_width, roofline_of);
          },
          arg("parameters"))
      .def("tiled_s", &tiled_s, arg("algorithms"), arg("tiles"), arg("processors"),
           arg("parameters"), arg("doublings") = 4)
      .def("traits", &traits, arg("core_s"));
}

}  // namespace alphaflops::python
