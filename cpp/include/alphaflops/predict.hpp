// Seconds and joules of a work table on a device.
//
// The equations are in cost.hpp. Inside the domain that was measured a residual corrects them; it
// shrinks to nothing outside, by exp(-d^2) at a distance of d octaves.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "alphaflops/graph.hpp"
#include "alphaflops/profile.hpp"
#include "alphaflops/reuse.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// Where `predict` writes: one element a row of the work table, or none where it is not wanted.
/// Writing five columns of a long table takes longer than computing them.
struct PredictionView {
  std::span<double> time_s;       // NaN where the profile does not price the row; always wanted
  std::span<double> time_lo_s{};  // interval of the row alone
  std::span<double> time_hi_s{};
  std::span<double> alpha{};  // NaN where the model has none
  /// Octaves outside of what was measured; 0 inside or if not known. Of an operator that was not
  /// timed at least `untimed_distance`.
  std::span<double> distance{};
};

/// Octaves outside of the domain beyond which a launch counts as extrapolated.
inline constexpr double extrapolated_beyond = 0.5;
inline constexpr double untimed_distance = 1.0;

/// Rows of a kind the profile declares out of scope, and rows of unknown kind, get NaN; any other
/// kind or dtype it lacks raises ProfileError. Thread-safe; does not allocate but for
/// recurrences and calls. `reuse_bytes` is the reuse distance of the weights, see reuse.hpp: of a
/// network that runs again and again, `reuse_distance_bytes(work)`; `reuse_s` the time between two
/// uses, by default that of all rows together. Returns the share of the time from memory in which
/// weights are read.
double predict(const WorkTable& work, const Profile& profile, PredictionView out,
               double reuse_bytes = from_memory, std::optional<double> reuse_s = std::nullopt);

/// Seconds of rows of one kind and pass whose columns are the caller's; `time_s` has one element a
/// row. Columns that the profile's cost of this kind does not read may be null, see `columns_read`,
/// and so may `op`: then it is a typical operator of the kind. Raises ProfileError where the
/// profile does not price the kind. Thread-safe; does not allocate but for recurrences and calls.
void predict_columns(const LaunchColumns& columns, Kind kind, DType dtype, const Profile& profile,
                     std::span<double> time_s, Pass pass = Pass::forward);

/// How many of `launch_columns` pricing such rows reads.
std::size_t columns_read(const CostModel& model);

struct Totals {
  double time_s = 0.0;
  double time_lo_s = 0.0;
  double time_hi_s = 0.0;
  // Sum of alpha * macs, in MACs as in the paper; NaN where a form without an alpha prices some.
  double alpha_flops = 0.0;
  double extrapolated_time_s = 0.0;  // of launches unlike all that was measured
  std::size_t unpriced_rows = 0;
};

/// Sums a prediction, with the profile's overhead, which a run takes that launches nothing, too;
/// NaN of a column that is empty. Errors are taken as fully correlated within a kind and as
/// independent between kinds: half-widths add linearly within, in quadrature between. Raises
/// ShapeError as `predict` does.
Totals total(const WorkTable& work, const Profile& profile, PredictionView prediction);

/// What Python's `estimate` does: the totals of a network that is lowered in the profile's mode and
/// runs again and again, alone, so that weights may come from a cache. Raises what `lower` and
/// `predict` do.
Totals estimate(const Graph& graph, const Profile& profile);

}  // namespace alphaflops
