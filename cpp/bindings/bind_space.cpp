#include "alphaflops/compiled_space.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/profile.hpp"
#include "alphaflops/space_tables.hpp"
#include "bindings.hpp"

namespace alphaflops::python {
namespace {

using Codes = py::array_t<std::uint8_t>;
using Doubles = py::array_t<double, py::array::c_style>;

/// A step that a Python function does: function(graph, tensors, notes, choice) -> tensors, notes.
/// The graph is handed over for the call, so that one that is kept outlives it as an empty one.
struct PythonStep {
  py::function function;

  Flow operator()(Graph& graph, const Flow& flow, int choice) const {
    const py::object lent = py::cast(std::move(graph));
    const auto take_back = [&] { graph = std::move(py::cast<Graph&>(lent)); };
    try {
      const py::tuple out = function(lent, flow.tensors, flow.notes, choice);
      take_back();
      return {py::cast<std::vector<int>>(out[0]), py::cast<std::vector<std::int64_t>>(out[1])};
    } catch (py::error_already_set& e) {
      take_back();
      // Errors of this library go on as such, to be given the part's name.
      const py::module_ core = py::module_::import("alphaflops._core");
      const std::string what = py::str(e.value());
      if (e.matches(core.attr("ShapeError"))) throw ShapeError(what);
      if (e.matches(core.attr("OverflowError"))) throw OverflowError(what);
      if (e.matches(core.attr("UnsupportedError"))) throw UnsupportedError(what);
      if (e.matches(core.attr("ModelError"))) throw ModelError(what);
      throw;
    }
  }
};

struct PyStep {
  std::shared_ptr<const Step> step;
};

std::span<const std::uint8_t> one_code(const Codes& code) {
  if (code.ndim() != 1 || (code.size() > 1 && code.strides(0) != 1)) {
    throw ModelError("a code must be a contiguous array [positions] of uint8");
  }
  return {code.data(), static_cast<std::size_t>(code.size())};
}

Quantity quantity_of(const std::string& metric, int profile) {
  return {parse_metric(metric), profile};
}

void evaluate(const Evaluator& evaluator, const Codes& codes, std::vector<py::array>& outputs,
              int threads) {
  const std::size_t positions = evaluator.tables().positions.size();
  if (codes.ndim() != 2 || static_cast<std::size_t>(codes.shape(1)) != positions ||
      (positions > 1 && codes.strides(1) != 1)) {
    throw ModelError(evaluator.tables().name + ": codes must be [n, " + std::to_string(positions) +
                     "], the digits of a code side by side");
  }
  const CodesView view{codes.data(), static_cast<std::size_t>(codes.shape(0)), codes.strides(0)};
  if (outputs.size() != evaluator.quantities().size()) {
    throw ModelError("give one output a quantity");
  }
  std::vector<Output> to;
  for (std::size_t q = 0; q < outputs.size(); ++q) {
    py::array& out = outputs[q];
    const bool counts = is_count(evaluator.quantities()[q].metric);
    const py::dtype dtype = counts ? py::dtype::of<std::int64_t>() : py::dtype::of<double>();
    if (!out.dtype().is(dtype) || out.ndim() != 1 || out.shape(0) != codes.shape(0)) {
      throw ModelError("output " + std::to_string(q) + " must be [" +
                       std::to_string(codes.shape(0)) + "] of " + (counts ? "int64" : "float64"));
    }
    to.push_back({out.mutable_data(), out.strides(0)});
  }
  const py::gil_scoped_release release;
  evaluator.evaluate(view, to, threads);
}

/// The tables as arrays, for other devices.
py::dict tables_of(const Evaluator& evaluator) {
  const Evaluator::Tables& t = evaluator.tables();
  const auto lookups = [](const std::vector<Lookup>& all) {
    py::array_t<std::int64_t> table(
        {static_cast<py::ssize_t>(all.size()), static_cast<py::ssize_t>(2 + 2 * most_digits)});
    auto to = table.mutable_unchecked<2>();
    for (py::ssize_t i = 0; i < to.shape(0); ++i) {
      const Lookup& lookup = all[static_cast<std::size_t>(i)];
      to(i, 0) = static_cast<std::int64_t>(lookup.offset);
      to(i, 1) = lookup.digits;
      for (py::ssize_t d = 0; d < most_digits; ++d) {
        to(i, 2 + 2 * d) = lookup.position[static_cast<std::size_t>(d)];
        to(i, 3 + 2 * d) = lookup.stride[static_cast<std::size_t>(d)];
      }
    }
    return table;
  };
  const auto copy = [](const std::vector<double>& values) {
    return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
  };
  py::list finish;
  for (const Finish& f : t.finish) {
    constexpr std::array kinds{"linear", "interval", "peak"};
    finish.append(
        py::make_tuple(kinds[static_cast<std::size_t>(f.kind)], f.column, f.scale, f.widths));
  }
  py::dict result;
  result["columns"] = t.columns;
  result["base"] = copy(t.base);
  result["sums"] = lookups(t.sums);
  result["values"] = copy(t.values);
  result["base_peak"] = t.base_peak;
  result["peaks"] = lookups(t.peaks);
  result["peak_values"] = copy(t.peak_values);
  result["finish"] = finish;
  return result;
}

}  // namespace

void bind_space(py::module_& m) {
  using py::arg;
  py::list metrics;
  for (int i = 0; i < metric_count; ++i) metrics.append(to_string(static_cast<Metric>(i)));
  m.attr("METRICS") = py::tuple(metrics);
  m.def(
      "is_count", [](const std::string& metric) { return is_count(parse_metric(metric)); },
      arg("metric"));

  py::class_<PyStep>(m, "Step").def(
      py::init([](py::function function) {
        return PyStep{std::make_shared<const Step>(PythonStep{std::move(function)})};
      }),
      arg("function"));

  py::class_<SearchSpace>(m, "SearchSpace")
      .def(py::init<std::string>(), arg("name"))
      .def_property_readonly("name", &SearchSpace::name)
      .def("position", &SearchSpace::position, arg("name"), arg("choices"))
      .def(
          "add",
          [](SearchSpace& space, std::string name, const PyStep& step, int reads) {
            space.add(std::move(name), step.step, reads);
          },
          arg("name"), arg("step"), arg("reads") = -1)
      .def(
          "graph",
          [](const SearchSpace& space, const Codes& code, std::int64_t batch,
             const std::string& dtype) {
            return space.graph(one_code(code), batch, parse_dtype(dtype));
          },
          arg("code"), arg("batch") = 1, arg("dtype") = "fp32")
      .def(
          "compile",
          [](const SearchSpace& space, const std::vector<const Profile*>& profiles,
             std::int64_t batch, const std::string& dtype, const std::optional<std::string>& mode,
             std::optional<double> reuse_bytes) {
            CompileOptions options{.batch = batch, .dtype = parse_dtype(dtype)};
            if (mode) options.mode = parse_mode(*mode);
            options.reuse_bytes = reuse_bytes;
            return space.compile(profiles, options);
          },
          arg("profiles"), arg("batch"), arg("dtype"), arg("mode") = std::nullopt,
          arg("reuse_bytes") = std::nullopt);

  py::class_<Evaluator>(m, "Evaluator")
      .def("evaluate", &evaluate, arg("codes").noconvert(), arg("outputs"), arg("threads") = 1)
      .def("tables", &tables_of);

  py::class_<CompiledSpace>(m, "CompiledSpace")
      .def_property_readonly("mode",
                             [](const CompiledSpace& space) { return to_string(space.mode()); })
      .def_property_readonly("parts", &CompiledSpace::parts)
      .def_property_readonly("nbytes", &CompiledSpace::bytes)
      .def("unpriced", &CompiledSpace::unpriced, arg("profile") = 0)
      .def(
          "evaluator",
          [](const CompiledSpace& space,
             const std::vector<std::pair<std::string, int>>& quantities) {
            std::vector<Quantity> all;
            for (const auto& [metric, profile] : quantities) {
              all.push_back(quantity_of(metric, profile));
            }
            return space.evaluator(all);
          },
          arg("quantities"))
      .def(
          "delta",
          [](const CompiledSpace& space, const Codes& code, int position, int choice,
             const std::string& metric, int profile) {
            return space.delta(one_code(code), position, choice, quantity_of(metric, profile));
          },
          arg("code"), arg("position"), arg("choice"), arg("metric") = "time_s", arg("profile") = 0)
      .def(
          "bounds",
          [](const CompiledSpace& space, const std::string& metric, int profile) {
            const Bounds b = space.bounds(quantity_of(metric, profile));
            const auto code = [](const std::vector<std::uint8_t>& digits) {
              return Codes(static_cast<py::ssize_t>(digits.size()), digits.data());
            };
            return py::make_tuple(b.least, b.most, code(b.cheapest), code(b.dearest));
          },
          arg("metric") = "time_s", arg("profile") = 0)
      .def(
          "expected",
          [](const CompiledSpace& space, const Doubles& probabilities, const std::string& metric,
             int profile) {
            const auto n = static_cast<std::size_t>(probabilities.size());
            Doubles gradient(probabilities.size());
            const double mean =
                space.expected({probabilities.data(), n}, {gradient.mutable_data(), n},
                               quantity_of(metric, profile));
            return py::make_tuple(mean, gradient);
          },
          arg("probabilities"), arg("metric") = "time_s", arg("profile") = 0);
}

}  // namespace alphaflops::python
