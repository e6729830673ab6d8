#include <algorithm>
#include <memory>

#include "alphaflops/error.hpp"
#include "alphaflops/predict.hpp"
#include "bindings.hpp"

namespace alphaflops::python {
namespace {

struct Prediction {
  std::vector<double> time_s, time_lo_s, time_hi_s, alpha, distance;
  Totals totals;
  double weight_share = 1.0;

  explicit Prediction(std::size_t rows)
      : time_s(rows), time_lo_s(rows), time_hi_s(rows), alpha(rows), distance(rows) {}
  PredictionView view() { return {time_s, time_lo_s, time_hi_s, alpha, distance}; }
};

/// Into `out` where given: first touches of fresh memory cost more than most forms do.
std::shared_ptr<Prediction> predict_and_total(const WorkTable& work, const Profile& profile,
                                              std::shared_ptr<Prediction> out, double reuse_bytes,
                                              std::optional<double> reuse_s) {
  if (out == nullptr) out = std::make_shared<Prediction>(work.size());
  out->weight_share = predict(work, profile, out->view(), reuse_bytes, reuse_s);
  out->totals = total(work, profile, out->view());
  return out;
}

void predict_times(const WorkTable& work, const Profile& profile,
                   py::array_t<double, py::array::c_style>& out) {
  const std::span<double> time_s(out.mutable_data(), static_cast<std::size_t>(out.size()));
  const py::gil_scoped_release release;
  predict(work, profile, {.time_s = time_s});
}

/// Columns are read where they are: contiguous int64 arrays.
void predict_columns_of(const Profile& profile, const std::string& kind_name,
                        const std::string& dtype_name, const py::dict& given,
                        py::array_t<double, py::array::c_style>& out, const std::string& op_name) {
  const Kind kind = parse_kind(kind_name);
  const DType dtype = parse_dtype(dtype_name);
  const CostModel* model = profile.find(kind, Pass::forward, dtype);
  const std::size_t needed = model == nullptr ? alpha_columns : columns_read(*model);
  const auto rows = static_cast<std::size_t>(out.size());
  LaunchColumns columns{};
  columns.element_bytes = static_cast<double>(size_of(dtype));
  const std::vector<std::uint8_t> unbiased(rows * (needed > alpha_columns ? 1 : 0));
  columns.biased = unbiased.data();
  const OpCode code = op_code(op_name);
  if (code == 0 && op_name != op_names()[0]) {
    throw UnsupportedError("op '" + op_name + "' is not known; use one of OPERATORS");
  }
  const std::vector<OpCode> ops(code == 0 ? 0 : rows, code);
  if (code != 0) columns.op = ops.data();
  std::size_t found = 0;
  for (std::size_t k = 0; k < launch_columns.size(); ++k) {
    const std::string name(launch_columns[k].name);
    if (!given.contains(name.c_str())) {
      if (k < needed) throw ShapeError("column '" + name + "' is missing; the profile reads it");
      continue;
    }
    ++found;
    const py::object object = given[name.c_str()];
    if (!py::isinstance<py::array_t<std::int64_t, py::array::c_style>>(object)) {
      throw ShapeError("column '" + name + "' must be a contiguous array of int64");
    }
    const auto array = py::cast<py::array_t<std::int64_t, py::array::c_style>>(object);
    if (array.ndim() != 1 || static_cast<std::size_t>(array.size()) != rows) {
      throw ShapeError("column '" + name + "' has " + std::to_string(array.size()) +
                       " elements; the others have " + std::to_string(rows));
    }
    columns.*launch_columns[k].column = array.data();
  }
  if (found != given.size()) {
    for (const auto& [name, values] : given) {
      const auto is = [&](const NamedColumn& c) { return c.name == py::cast<std::string>(name); };
      if (std::ranges::any_of(launch_columns, is)) continue;
      throw ShapeError("column '" + py::cast<std::string>(name) + "' is not one of a work table's");
    }
  }
  const std::span<double> time_s(out.mutable_data(), rows);
  const py::gil_scoped_release release;
  predict_columns(columns, kind, dtype, profile, time_s);
}

template <std::vector<double> Prediction::* member>
void bind_column(py::class_<Prediction, std::shared_ptr<Prediction>>& prediction,
                 const char* name) {
  prediction.def_property_readonly(name, [](const py::object& self) {
    return column(py::cast<const Prediction&>(self).*member, self);
  });
}

template <double Totals::* member>
void bind_total(py::class_<Prediction, std::shared_ptr<Prediction>>& prediction, const char* name) {
  prediction.def_property_readonly(name, [](const Prediction& p) { return p.totals.*member; });
}

}  // namespace

void bind_predict(py::module_& m) {
  using py::arg;
  m.attr("EXTRAPOLATED_BEYOND") = extrapolated_beyond;
  m.attr("UNTIMED_DISTANCE") = untimed_distance;
  py::class_<Prediction, std::shared_ptr<Prediction>> prediction(m, "Prediction");
  bind_column<&Prediction::time_s>(prediction, "time_s");
  bind_column<&Prediction::time_lo_s>(prediction, "time_lo_s");
  bind_column<&Prediction::time_hi_s>(prediction, "time_hi_s");
  bind_column<&Prediction::alpha>(prediction, "alpha");
  bind_column<&Prediction::distance>(prediction, "distance");
  bind_total<&Totals::time_s>(prediction, "total_time_s");
  bind_total<&Totals::time_lo_s>(prediction, "total_time_lo_s");
  bind_total<&Totals::time_hi_s>(prediction, "total_time_hi_s");
  bind_total<&Totals::extrapolated_time_s>(prediction, "extrapolated_time_s");
  bind_total<&Totals::alpha_flops>(prediction, "alpha_flops");
  prediction.def_readonly("weight_share", &Prediction::weight_share);
  prediction.def_property_readonly("unpriced_rows",
                                   [](const Prediction& p) { return p.totals.unpriced_rows; });

  m.def("predict", &predict_and_total, arg("work"), arg("profile"), arg("out") = nullptr,
        arg("reuse_bytes") = from_memory, arg("reuse_s") = std::nullopt,
        py::call_guard<py::gil_scoped_release>());
  m.def("reuse_distance_bytes", &reuse_distance_bytes, arg("work"));
  m.def("predict_times", &predict_times, arg("work"), arg("profile"), arg("out").noconvert());
  m.def("predict_columns", &predict_columns_of, arg("profile"), arg("kind"), arg("dtype"),
        arg("columns"), arg("out").noconvert(), arg("op") = "other");
  py::list names;
  for (const NamedColumn& named : launch_columns) names.append(named.name);
  m.attr("LAUNCH_COLUMNS") = py::tuple(names);
  m.def(
      "alpha", py::vectorize(alpha), arg("s"), arg("kernel_volume"), arg("beta"), arg("gamma"),
      R"doc(Give the paper's factor ((S_K + beta (S - S_K)) / S)^gamma, S_K = ln(kernel_volume) + 1.

Asperti et al., LOD 2021 (arXiv 2107.11949). Arguments broadcast; S below one is taken as one.)doc");
}

}  // namespace alphaflops::python
