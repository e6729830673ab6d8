#include "alphaflops/predict.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

void require_size(const char* name, std::size_t size, std::size_t rows, bool optional = true) {
  if (size != rows && !(optional && size == 0)) {
    throw ShapeError(std::string("predict: output '") + name + "' has " + std::to_string(size) +
                     " elements; the work table has " + std::to_string(rows) + " rows");
  }
}

void require_sizes(PredictionView out, std::size_t rows) {
  require_size("time_s", out.time_s.size(), rows, false);
  require_size("time_lo_s", out.time_lo_s.size(), rows);
  require_size("time_hi_s", out.time_hi_s.size(), rows);
  require_size("alpha", out.alpha.size(), rows);
  require_size("distance", out.distance.size(), rows);
}

[[noreturn]] void fail_unpriced(Kind kind, DType dtype, const Profile& profile) {
  std::string has;
  for (const CostModel& m : profile.models()) {
    has += (has.empty() ? "" : ", ") + std::string(to_string(m.kind)) + " " +
           std::string(to_string(m.dtype));
  }
  throw ProfileError("profile '" + profile.name() + "' does not price operator kind '" +
                     std::string(to_string(kind)) + "' in " + std::string(to_string(dtype)) +
                     "; it has: " + has +
                     ". Calibrate with this operator and dtype, or use another profile");
}

constexpr std::size_t kWindow = 512;  // rows that are sorted by model at once

/// Copies of a work table's rows, where rows of one model do not stand side by side.
class Gathered {
 public:
  const LaunchColumns& gather(const WorkTable& work, const CostModel& model, std::size_t first,
                              const std::uint16_t* rows, int n) {
    const LaunchColumns from = columns_of(work, first);
    for (std::size_t k = 0; k < columns_read(model); ++k) {
      const std::int64_t* source = from.*launch_columns[k].column;
      for (int i = 0; i < n; ++i) values_[k][static_cast<std::size_t>(i)] = source[rows[i]];
      view_.*launch_columns[k].column = values_[k].data();
    }
    for (int i = 0; i < n; ++i) {
      biased_[static_cast<std::size_t>(i)] = from.biased[rows[i]];
      op_[static_cast<std::size_t>(i)] = from.op[rows[i]];
    }
    view_.biased = biased_.data();
    view_.op = op_.data();
    view_.element_bytes = static_cast<double>(size_of(work.dtype[first + rows[0]]));
    return view_;
  }

 private:
  std::array<std::array<std::int64_t, launch_block>, launch_columns.size()> values_;
  std::array<std::uint8_t, launch_block> biased_, op_;
  LaunchColumns view_{};
};

/// Where up to `launch_block` predictions go.
struct Slots {
  double *time_s, *alpha, *distance;
};

void evaluate_rows(const CostModel& model, const LaunchColumns& x, int n, Slots to) {
  seconds(model.cost, x, n, to.time_s, to.alpha);
  add_beyond(model.cache, x, n, to.time_s);
  add_fresh(model.fresh, x, n, to.time_s);
  const bool corrected = !model.residual.empty();
  const auto rows = static_cast<std::size_t>(n);
  if (!model.domain.known() || (!corrected && model.domain.surely_holds(x, to.time_s, n))) {
    std::fill_n(to.distance, rows, 0.0);
    return;
  }
  Traits traits{};
  traits_of(x, to.time_s, n, traits);
  model.domain.squared_distances(traits, n, to.distance);
  if (corrected) {
    std::array<double, launch_block> sums;
    model.residual.sums(traits, n, sums.data());
    for (std::size_t i = 0; i < rows; ++i) {
      const double trust = to.distance[i] > 0.0 ? std::exp(-to.distance[i]) : 1.0;
      to.time_s[i] *= std::exp(sums[i] * trust);
    }
  }
  for (std::size_t i = 0; i < rows; ++i) to.distance[i] = std::sqrt(to.distance[i]);
}

/// Of rows as the model sees them, times the steps that each makes where it is of one.
void evaluate(const CostModel& model, const LaunchColumns& x, int n, Slots to) {
  if (!model.per_step && !is_recurrence(model.kind)) return evaluate_rows(model, x, n, to);
  WorkTable steps;
  std::array<std::int64_t, launch_block> count;
  const std::size_t read = columns_read(model);
  for (int i = 0; i < n; ++i) {
    Work w;
    w.kind = model.kind;
    for (std::size_t k = 0; k < read; ++k) {
      w.*launch_columns[k].member = (x.*launch_columns[k].column)[i];
    }
    w.biased = read > alpha_columns && x.biased[i] != 0;
    steps.append(as_modelled(w, model.per_step));
    count[static_cast<std::size_t>(i)] = model.per_step ? steps_of(w) : 1;
  }
  LaunchColumns each = columns_of(steps);
  each.element_bytes = x.element_bytes;
  evaluate_rows(model, each, n, to);
  for (int i = 0; i < n; ++i)
    to.time_s[i] *= static_cast<double>(count[static_cast<std::size_t>(i)]);
}

/// An operator that was not timed is priced as a typical one of its kind: it counts as
/// extrapolated, and its interval is twice as wide in the logarithm.
void doubt_untimed(const CostModel& model, OpCode op, std::size_t row, PredictionView out) {
  if (model.was_timed(op)) return;
  if (!out.distance.empty()) out.distance[row] = std::max(out.distance[row], untimed_distance);
  if (!out.time_lo_s.empty()) out.time_lo_s[row] *= model.lower_factor;
  if (!out.time_hi_s.empty()) out.time_hi_s[row] *= model.upper_factor;
}

/// Rows of one model, side by side.
void predict_run(const WorkTable& work, const CostModel& model, std::size_t first, std::size_t rows,
                 PredictionView out) {
  std::array<double, launch_block> unwanted_alpha, unwanted_distance;
  for (const std::size_t end = first + rows; first < end; first += launch_block) {
    const std::size_t n = std::min<std::size_t>(launch_block, end - first);
    double* time_s = out.time_s.data() + first;
    evaluate(model, columns_of(work, first), static_cast<int>(n),
             {time_s, out.alpha.empty() ? unwanted_alpha.data() : out.alpha.data() + first,
              out.distance.empty() ? unwanted_distance.data() : out.distance.data() + first});
    const auto scaled = [&](std::span<double> to, double factor) {
      if (to.empty()) return;
      for (std::size_t i = 0; i < n; ++i) to[first + i] = time_s[i] * factor;
    };
    scaled(out.time_lo_s, model.lower_factor);
    scaled(out.time_hi_s, model.upper_factor);
    if (model.timed.empty()) continue;
    for (std::size_t i = 0; i < n; ++i) doubt_untimed(model, work.op[first + i], first + i, out);
  }
}

struct Priced {
  double time_s, time_lo_s, time_hi_s, alpha, distance = 0.0;
};

void write(PredictionView out, std::size_t row, const Priced& priced) {
  out.time_s[row] = priced.time_s;
  if (!out.time_lo_s.empty()) out.time_lo_s[row] = priced.time_lo_s;
  if (!out.time_hi_s.empty()) out.time_hi_s[row] = priced.time_hi_s;
  if (!out.alpha.empty()) out.alpha[row] = priced.alpha;
  if (!out.distance.empty()) out.distance[row] = priced.distance;
}

void predict_unpriced(const WorkTable& work, const Profile& profile, std::size_t row,
                      PredictionView out) {
  if (work.kind[row] != Kind::unknown && !profile.out_of_scope(work.kind[row])) {
    fail_unpriced(work.kind[row], work.dtype[row], profile);
  }
  write(out, row, {.time_s = nan, .time_lo_s = nan, .time_hi_s = nan, .alpha = nan});
}

/// Rows of any models: rows of each are brought together, a block at a time.
void predict_mixed(const WorkTable& work, const Profile& profile, std::size_t first,
                   std::size_t rows, PredictionView out) {
  std::array<const CostModel*, kWindow> models;
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t row = first + i;
    models[i] = profile.find(work.kind[row], work.pass[row], work.dtype[row]);
    if (models[i] == nullptr) predict_unpriced(work, profile, row, out);
  }
  Gathered gathered;
  std::array<double, launch_block> time_s, alpha, distance;
  std::array<std::uint16_t, launch_block> chosen;
  for (const CostModel& model : profile.models()) {
    std::size_t n = 0;
    for (std::size_t i = 0; i < rows; ++i) {
      if (models[i] == &model) chosen[n++] = static_cast<std::uint16_t>(i);
      if (n == launch_block || (i + 1 == rows && n > 0)) {
        const int count = static_cast<int>(n);
        evaluate(model, gathered.gather(work, model, first, chosen.data(), count), count,
                 {time_s.data(), alpha.data(), distance.data()});
        for (std::size_t k = 0; k < n; ++k) {
          const std::size_t row = first + chosen[k];
          write(out, row,
                {.time_s = time_s[k],
                 .time_lo_s = time_s[k] * model.lower_factor,
                 .time_hi_s = time_s[k] * model.upper_factor,
                 .alpha = alpha[k],
                 .distance = distance[k]});
          doubt_untimed(model, work.op[row], row, out);
        }
        n = 0;
      }
    }
  }
}

/// Takes off what is gained where weights come from a cache.
void reuse_weights(const WorkTable& work, const WeightReuse& reuse, double gain,
                   PredictionView out) {
  for (std::size_t i = 0; i < work.size(); ++i) {
    const double factor = reuse_factor(work, i, reuse, gain);
    for (const std::span<double> times : {out.time_s, out.time_lo_s, out.time_hi_s}) {
      if (!times.empty()) times[i] *= factor;
    }
  }
}

/// Whether all n elements from there are alike.
template <typename T>
bool alike(const T* values, std::size_t n) {
  static_assert(sizeof(T) == 1);
  return std::memcmp(values, values + 1, n - 1) == 0;
}

}  // namespace

double predict(const WorkTable& work, const Profile& profile, PredictionView out,
               double reuse_bytes, std::optional<double> reuse_s) {
  const std::size_t rows = work.size();
  require_sizes(out, rows);
  for (std::size_t first = 0; first < rows; first += kWindow) {
    const std::size_t n = std::min(kWindow, rows - first);
    const CostModel* model = profile.find(work.kind[first], work.pass[first], work.dtype[first]);
    if (model != nullptr && alike(&work.kind[first], n) && alike(&work.pass[first], n) &&
        alike(&work.dtype[first], n)) {
      predict_run(work, *model, first, n, out);
    } else {
      predict_mixed(work, profile, first, n, out);
    }
  }
  const WeightReuse& reuse = profile.weight_reuse();
  if (reuse.gain_at(reuse_bytes, reuse_s.value_or(0.0)) == 0.0) return 1.0;
  double all_s = 0.0;
  for (const double time_s : out.time_s) all_s += std::isnan(time_s) ? 0.0 : time_s;
  const double gain = reuse.gain_at(reuse_bytes, reuse_s.value_or(all_s));
  reuse_weights(work, reuse, gain, out);
  return 1.0 - gain;
}

std::size_t columns_read(const CostModel& model) {
  const bool reads_bytes = model.domain.known() || model.cache.seconds_per_byte_beyond != 0.0 ||
                           model.fresh.from_bytes != 0.0;
  if (std::holds_alternative<AlphaCost>(model.cost) && !reads_bytes) return alpha_columns;
  const auto* traffic = std::get_if<TrafficCost>(&model.cost);
  const bool has_taps = traffic != nullptr && traffic->seconds_per_tap != 0.0;
  return launch_columns.size() - (has_taps ? 0 : 1);
}

void predict_columns(const LaunchColumns& columns, Kind kind, DType dtype, const Profile& profile,
                     std::span<double> time_s, Pass pass) {
  const CostModel* model = profile.find(kind, pass, dtype);
  if (model == nullptr) fail_unpriced(kind, dtype, profile);
  std::array<double, launch_block> alpha, distance;
  for (std::size_t first = 0; first < time_s.size(); first += launch_block) {
    const std::size_t n = std::min<std::size_t>(launch_block, time_s.size() - first);
    evaluate(*model, rows_from(columns, first), static_cast<int>(n),
             {time_s.data() + first, alpha.data(), distance.data()});
  }
}

Totals total(const WorkTable& work, const Profile& profile, PredictionView prediction) {
  require_sizes(prediction, work.size());
  // Where a column is not there, the times stand in, and its sum is replaced in the end.
  const auto column = [&](std::span<const double> values) {
    return values.empty() ? prediction.time_s.data() : values.data();
  };
  const double* const lo = column(prediction.time_lo_s);
  const double* const hi = column(prediction.time_hi_s);
  const double* const distance = column(prediction.distance);
  const double* const alpha = column(prediction.alpha);
  Totals sum;
  sum.time_s = profile.overhead_s();
  std::array<double, kind_count> below{};
  std::array<double, kind_count> above{};
  for (std::size_t first = 0; first < work.size();) {
    // Sums of a run of one kind stay in registers.
    const Kind kind = work.kind[first];
    double time_s = 0.0, below_s = 0.0, above_s = 0.0;
    std::size_t i = first;
    for (; i < work.size() && work.kind[i] == kind; ++i) {
      const double time = prediction.time_s[i];
      if (std::isnan(time)) {
        if (kind != Kind::call) ++sum.unpriced_rows;
        continue;
      }
      time_s += time;
      below_s += time - lo[i];
      above_s += hi[i] - time;
      if (distance[i] > extrapolated_beyond) sum.extrapolated_time_s += time;
      if (work.macs[i] != 0) sum.alpha_flops += alpha[i] * static_cast<double>(work.macs[i]);
    }
    sum.time_s += time_s;
    below[static_cast<std::size_t>(kind)] += below_s;
    above[static_cast<std::size_t>(kind)] += above_s;
    first = i;
  }
  double below_squared = 0.0;
  double above_squared = 0.0;
  for (std::size_t k = 0; k < below.size(); ++k) {
    below_squared += below[k] * below[k];
    above_squared += above[k] * above[k];
  }
  sum.time_lo_s = std::max(0.0, sum.time_s - std::sqrt(below_squared));
  sum.time_hi_s = sum.time_s + std::sqrt(above_squared);
  if (work.size() == 0) return sum;
  if (prediction.time_lo_s.empty()) sum.time_lo_s = nan;
  if (prediction.time_hi_s.empty()) sum.time_hi_s = nan;
  if (prediction.alpha.empty()) sum.alpha_flops = nan;
  if (prediction.distance.empty()) sum.extrapolated_time_s = nan;
  return sum;
}

Totals estimate(const Graph& graph, const Profile& profile) {
  const WorkTable work = lower(graph, profile.mode());
  std::vector<double> time_s(work.size()), lo(time_s), hi(time_s), alpha(time_s), distance(time_s);
  const PredictionView prediction{time_s, lo, hi, alpha, distance};
  predict(work, profile, prediction, reuse_distance_bytes(work));
  return total(work, profile, prediction);
}

}  // namespace alphaflops
