#include <memory>

#include "alphaflops/predict.hpp"
#include "bindings.hpp"

namespace alphaflops::python {
namespace {

struct Prediction {
  std::vector<double> time_s, time_lo_s, time_hi_s, alpha, distance;
  Totals totals;

  explicit Prediction(std::size_t rows)
      : time_s(rows), time_lo_s(rows), time_hi_s(rows), alpha(rows), distance(rows) {}
  PredictionView view() { return {time_s, time_lo_s, time_hi_s, alpha, distance}; }
};

/// Into `out` where given: first touches of fresh memory cost more than most forms do.
std::shared_ptr<Prediction> predict_and_total(const WorkTable& work, const Profile& profile,
                                              std::shared_ptr<Prediction> out) {
  if (out == nullptr) out = std::make_shared<Prediction>(work.size());
  predict(work, profile, out->view());
  out->totals = total(work, profile, out->view());
  return out;
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
  prediction.def_property_readonly("unpriced_rows",
                                   [](const Prediction& p) { return p.totals.unpriced_rows; });

  m.def("predict", &predict_and_total, arg("work"), arg("profile"), arg("out") = nullptr,
        py::call_guard<py::gil_scoped_release>());
  m.def("alpha", py::vectorize(alpha), arg("s"), arg("kernel_volume"), arg("beta"), arg("gamma"));
}

}  // namespace alphaflops::python
