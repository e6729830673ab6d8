#include "alphaflops/predict.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void require_size(const char* name, std::size_t size, std::size_t rows) {
  if (size != rows) {
    throw ShapeError(std::string("predict: output '") + name + "' has " + std::to_string(size) +
                     " elements; the work table has " + std::to_string(rows) + " rows");
  }
}

[[noreturn]] void fail_unpriced(const WorkTable& work, std::size_t i, const Profile& profile) {
  std::string has;
  for (const CostModel& m : profile.models()) {
    has += (has.empty() ? "" : ", ") + std::string(to_string(m.kind)) + " " +
           std::string(to_string(m.dtype));
  }
  throw ProfileError("profile '" + profile.name() + "' does not price operator kind '" +
                     std::string(to_string(work.kind[i])) + "' in " +
                     std::string(to_string(work.dtype[i])) + "; it has: " + has +
                     ". Calibrate with this operator and dtype, or use another profile");
}

template <typename C>
double alpha_of(const C& cost, const Launch& launch) {
  if constexpr (requires { cost.gamma; }) {
    return alpha(launch.rows(), launch.kernel_volume, cost.beta, cost.gamma);
  } else {
    return nan;
  }
}

}  // namespace

void predict(const WorkTable& work, const Profile& profile, PredictionView out) {
  const std::size_t rows = work.size();
  require_size("time_s", out.time_s.size(), rows);
  require_size("time_lo_s", out.time_lo_s.size(), rows);
  require_size("time_hi_s", out.time_hi_s.size(), rows);
  require_size("alpha", out.alpha.size(), rows);
  require_size("distance", out.distance.size(), rows);
  for (std::size_t i = 0; i < rows; ++i) {
    out.alpha[i] = nan;
    out.distance[i] = 0.0;
    const CostModel* model = profile.find(work.kind[i], work.pass[i], work.dtype[i]);
    if (model == nullptr) {
      if (work.kind[i] != Kind::unknown && !profile.out_of_scope(work.kind[i])) {
        fail_unpriced(work, i, profile);
      }
      out.time_s[i] = out.time_lo_s[i] = out.time_hi_s[i] = nan;
      continue;
    }
    const Launch launch = launch_of(work, i);
    double time =
        std::visit([&launch](const auto& cost) { return seconds(cost, launch); }, model->cost);
    out.alpha[i] =
        std::visit([&launch](const auto& cost) { return alpha_of(cost, launch); }, model->cost);
    if (model->domain.known) {
      const Traits traits = traits_of(launch, time);
      const double outside = model->domain.squared_distance(traits);
      out.distance[i] = std::sqrt(outside);
      if (!model->residual.roots.empty()) {
        time *= std::exp(model->residual.sum(traits) * std::exp(-outside));
      }
    }
    out.time_s[i] = time;
    out.time_lo_s[i] = time * model->lower_factor;
    out.time_hi_s[i] = time * model->upper_factor;
  }
}

Totals total(const WorkTable& work, const Profile& profile, PredictionView prediction) {
  Totals sum;
  sum.time_s = work.size() > 0 ? profile.overhead_s() : 0.0;
  std::array<double, kind_count> below{};
  std::array<double, kind_count> above{};
  for (std::size_t i = 0; i < work.size(); ++i) {
    const double time = prediction.time_s[i];
    if (std::isnan(time)) {
      ++sum.unpriced_rows;
      continue;
    }
    const auto kind = static_cast<std::size_t>(work.kind[i]);
    sum.time_s += time;
    below[kind] += time - prediction.time_lo_s[i];
    if (prediction.distance[i] > extrapolated_beyond) sum.extrapolated_time_s += time;
    above[kind] += prediction.time_hi_s[i] - time;
    if (!std::isnan(prediction.alpha[i])) {
      sum.alpha_flops += prediction.alpha[i] * static_cast<double>(work.macs[i]);
    }
  }
  double below_squared = 0.0;
  double above_squared = 0.0;
  for (std::size_t k = 0; k < below.size(); ++k) {
    below_squared += below[k] * below[k];
    above_squared += above[k] * above[k];
  }
  sum.time_lo_s = std::max(0.0, sum.time_s - std::sqrt(below_squared));
  sum.time_hi_s = sum.time_s + std::sqrt(above_squared);
  return sum;
}

}  // namespace alphaflops
