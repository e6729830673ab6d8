// Profiles as C++ reads them, what they refuse, and sums of what they predict.
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/predict.hpp"
#include "alphaflops/profile.hpp"
#include "alphaflops/spec.hpp"
#include "alphaflops/version.hpp"
#include "check.hpp"

namespace {

using namespace alphaflops;

/// A profile of elementwise operators; `model` and `file` are more members of the model and the
/// file, `rate` is its one number.
std::string text(const std::string& model = "", const std::string& file = "",
                 const std::string& rate = "1e-10", const std::string& kind = "elementwise") {
  return R"({"format": "alphaflops-profile", "version": 1, "name": "test",
    "provenance": {"backend": "native"}, "models": [{"kind": ")" +
         kind + R"(", "pass": "forward", "dtype": "fp32", "form": "traffic", "parameters": {)" +
         R"("seconds_per_byte_read": )" + rate + R"(, "seconds_per_byte_written": 1e-10})" + model +
         "}]" + file + "}";
}

/// The text with what else there is to say of its provenance.
std::string from(const std::string& provenance, std::string json = text()) {
  const std::string backend = R"("backend": "native")";
  return json.replace(json.find(backend), backend.size(), backend + provenance);
}

void refuses(const std::string& json, const char* fragment) {
  CHECK_RAISES(Profile::parse(json), ProfileError, fragment);
}

std::string corrected(const std::string& low, const std::string& high, const std::string& trees) {
  const auto bounds = [](const std::string& first) {
    std::string list = "[" + first;
    for (int k = 1; k < bounded_trait_count; ++k) list += ", 1";
    return list + "]";
  };
  return text(R"(, "domain": {"low": )" + bounds(low) + R"(, "high": )" + bounds(high) +
              R"(}, "residual": )" + trees);
}

void test_files() {
  CHECK_RAISES(Profile::load("."), IoError, ".: cannot read this profile; name a profile file");
  CHECK_RAISES(Profile::load("absent.json"), IoError, "absent.json: cannot read");
}

void test_json() {
  CHECK(Profile::parse(text()).models().size() == 1);
  CHECK(Profile::parse(text("", ", \"x\": [-0.5, 10, 1E+2, 0e-1]")).models().size() == 1);
  for (const char* number : {"00.006", "0.", ".5", "-", "1e", "+1", "1.e2"}) {
    refuses(text("", "", number), "not valid JSON at line 2");
  }
  for (const char* number : {"1e400", "1e-400"}) {
    refuses(text("", "", number), "out of the range");
  }
  refuses("\xEF\xBB\xBF" + text(), "line 1, column 1: it begins with a byte order mark");
  CHECK(Profile::parse(text("", ", \"x\": \"\u00e9\u20ac\U0001F600\"")).name() == "test");
  for (const char* bytes : {"\x80", "\xC0\xAF", "\xE0\x80\xAF", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                            "\xF5\x80\x80\x80", "\xE2\x82"}) {
    refuses(text("", std::string(", \"x\": \"") + bytes + "\""), "not UTF-8");
  }
}

void test_contradictions() {
  const std::string interval = R"(, "interval": {"lower_factor": 0.8, "upper_factor": 1.3})";
  CHECK(Profile::parse(text(interval, R"(, "interval_level": 0.9)")).interval_level() == 0.9);
  refuses(text(interval), "state their coverage");
  refuses(text("", R"(, "out_of_scope": ["elementwise"])"), "kind 'elementwise' has a model");
  refuses(text("", "", "1", "unknown"), "models[0]: kind 'unknown' cannot be priced");
}

void test_modes() {
  CHECK(Profile::parse(text()).mode() == Mode::fused);
  CHECK(Profile::parse(from(R"(, "mode": null)")).mode() == Mode::fused);
  for (const Mode mode : {Mode::fused, Mode::fused_relu, Mode::eager}) {
    const std::string name(to_string(mode));
    CHECK(Profile::parse(from(R"(, "mode": ")" + name + "\"")).mode() == mode);
  }
  refuses(from(R"(, "mode": "lazy")"),
          "profile.provenance: mode 'lazy' is not known; use fused, fused_relu or eager");
  refuses(from(R"(, "mode": 1)"), "profile.provenance: \"mode\" must be a string");
}

void test_extremes() {
  const std::string leaf = R"({"trait": [-1], "right": [0], "value": [)";
  CHECK(Profile::parse(corrected("-200", "200", leaf + R"(-10], "roots": [0]})")).name() == "test");
  refuses(corrected("1", "1", leaf + R"(-800], "roots": [0]})"),
          "residual.value[0] is -800; it must be from -10 to 10");
  refuses(corrected("1", "1", R"({"trait": [0, -1, -1], "right": [2, 0, 0],
                                  "value": [1e300, 0, 0], "roots": [0]})"),
          "residual.value[0] is 1e+300");
  refuses(corrected("1", "1", leaf + R"(10], "roots": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]})"),
          "add up to 110");
  refuses(corrected("2", "1", leaf + R"(0], "roots": [0]})"), "\"low\" is above \"high\" at 0");
  refuses(corrected("-1e300", "1", leaf + R"(0], "roots": [0]})"), "domain.low[0] is -1e+300");
  refuses(corrected("1", "201", leaf + R"(0], "roots": [0]})"), "domain.high[0] is 201");
}

void test_empty_ones_price_nothing() {
  const auto prices = [](const Profile& profile) {
    return profile.find(Kind::elementwise, Pass::forward, DType::fp32) != nullptr;
  };
  Profile none;
  CHECK(!prices(none));
  Profile from = Profile::parse(text());
  const Profile copy = from;
  const Profile moved = std::move(from);
  CHECK(prices(copy) && prices(moved) && !prices(from));
  from = copy;
  CHECK(prices(from));
  none = std::move(from);
  CHECK(prices(none) && !prices(from));
}

void test_totals_of_some_columns() {
  Graph graph;
  graph.activation(graph.input({1, 8, 4, 4}), Activation::relu);
  const WorkTable work = lower(graph, Mode::eager);
  const Profile profile = Profile::parse(text());
  std::vector<double> time(work.size()), lo(time), hi(time), alpha(time), distance(time);
  const PredictionView all{time, lo, hi, alpha, distance};
  predict(work, profile, all);
  const Totals whole = total(work, profile, all);
  const Totals part = total(work, profile, {.time_s = time, .time_hi_s = hi});
  CHECK(part.time_s == whole.time_s && part.time_hi_s == whole.time_hi_s);
  CHECK(std::isnan(part.time_lo_s) && std::isnan(part.alpha_flops));
  CHECK(std::isnan(part.extrapolated_time_s));
  CHECK_RAISES(total(work, profile, {}), ShapeError, "'time_s' has 0 elements");
  lo.push_back(0.0);
  CHECK_RAISES(total(work, profile, {.time_s = time, .time_lo_s = lo}), ShapeError, "'time_lo_s'");
}

void test_estimates_are_of_a_network_that_runs_alone() {
  const std::string linear =
      R"(}, {"kind": "linear", "pass": "forward", "dtype": "fp32", "form": "traffic",
      "parameters": {"seconds_per_byte_read": 1e-10, "seconds_per_byte_written": 1e-10})";
  const std::string reuse =
      R"(, "weight_reuse": {"distance_bytes": [1e9], "share": [0.25], "half_rows": {"linear": 1}})";
  const Profile profile = Profile::parse(from(R"(, "mode": "eager")", text(linear, reuse)));
  Graph graph;
  graph.activation(graph.linear(graph.input({1, 64}), {.out_features = 64}), Activation::relu);
  const WorkTable work = lower(graph, Mode::eager);
  CHECK(work.size() == 2);
  std::vector<double> time(work.size()), lo(time), hi(time), alpha(time), distance(time);
  const PredictionView all{time, lo, hi, alpha, distance};
  predict(work, profile, all);
  const Totals cold = total(work, profile, all);
  predict(work, profile, all, reuse_distance_bytes(work));
  const Totals own = total(work, profile, all);
  const Totals found = estimate(graph, profile);
  CHECK(own.time_s < cold.time_s);
  CHECK(found.time_s == own.time_s && found.time_hi_s == own.time_hi_s);
  CHECK(estimate(Graph(), profile).time_s == 0.0);
}

void test_specs_without_a_window() {
  OperatorSpec spec{.h_in = 8, .w_in = 8, .h_out = 8, .w_out = 8};
  spec.k_h = INT64_MIN;
  CHECK_RAISES(graph_of(spec), ShapeError, "conv2d: a kernel extent is -9223372036854775808");
  spec.k_h = 1;
  spec.pad_h = INT64_MAX;
  CHECK_RAISES(graph_of(spec), OverflowError, "conv2d: 2 x 9223372036854775807");
  CHECK_RAISES(graph_of({.op = "concat", .c_out = INT64_MIN}), ShapeError, "concat: c_out is -9");
}

void test_version() {
  CHECK(version == std::to_string(ALPHAFLOPS_VERSION_MAJOR) + "." +
                       std::to_string(ALPHAFLOPS_VERSION_MINOR) + "." +
                       std::to_string(ALPHAFLOPS_VERSION_PATCH));
}

}  // namespace

int main() {
  test_files();
  test_json();
  test_contradictions();
  test_modes();
  test_extremes();
  test_empty_ones_price_nothing();
  test_totals_of_some_columns();
  test_estimates_are_of_a_network_that_runs_alone();
  test_specs_without_a_window();
  test_version();
  return check::finish();
}
