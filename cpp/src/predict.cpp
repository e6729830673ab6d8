#include "alphaflops/predict.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// (a^p + b^p)^(1/p) for a, b >= 0, scaled so that neither power overflows.
double p_norm(double a, double b, double p) {
  const double big = std::max(a, b);
  const double small = std::min(a, b);
  if (small == 0.0) return big;
  if (p == 1.0) return a + b;
  return big * std::pow(1.0 + std::pow(small / big, p), 1.0 / p);
}

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

}  // namespace

double alpha(double s, double kernel_volume, double beta, double gamma) {
  const double extent = std::max(s, 1.0);
  const double s_k = std::min(std::log(kernel_volume) + 1.0, extent);
  return std::pow((s_k + beta * (extent - s_k)) / extent, gamma);
}

void predict(const WorkTable& work, const Profile& profile, PredictionView out) {
  const std::size_t rows = work.size();
  require_size("time_s", out.time_s.size(), rows);
  require_size("time_lo_s", out.time_lo_s.size(), rows);
  require_size("time_hi_s", out.time_hi_s.size(), rows);
  require_size("alpha", out.alpha.size(), rows);
  for (std::size_t i = 0; i < rows; ++i) {
    out.alpha[i] = nan;
    const CostModel* model = profile.find(work.kind[i], work.pass[i], work.dtype[i]);
    if (model == nullptr) {
      if (work.kind[i] != Kind::unknown && !profile.out_of_scope(work.kind[i])) {
        fail_unpriced(work, i, profile);
      }
      out.time_s[i] = out.time_lo_s[i] = out.time_hi_s[i] = nan;
      continue;
    }
    double body_s = 0.0;
    if (model->form == Form::alpha) {
      const double s = static_cast<double>(work.batch[i]) * static_cast<double>(work.spatial[i]);
      const double factor =
          alpha(s, static_cast<double>(work.kernel_volume[i]), model->beta, model->gamma);
      out.alpha[i] = factor;
      body_s = model->seconds_per_mac * factor * static_cast<double>(work.macs[i]);
    } else {
      const double size = static_cast<double>(size_of(work.dtype[i]));
      const double read = size * (static_cast<double>(work.activations_read[i]) +
                                  static_cast<double>(work.weights_read[i]));
      const double written = size * static_cast<double>(work.elements_written[i]);
      body_s = model->seconds_per_byte_read * read + model->seconds_per_byte_written * written;
    }
    const double time = p_norm(model->floor_s, body_s, model->sharpness);
    out.time_s[i] = time;
    out.time_lo_s[i] = time * model->lower_factor;
    out.time_hi_s[i] = time * model->upper_factor;
  }
}

Totals total(const WorkTable& work, PredictionView prediction) {
  Totals sum;
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
