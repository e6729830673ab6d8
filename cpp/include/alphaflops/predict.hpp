// Seconds and joules of a work table on a device.
//
// The alpha form, after Asperti, Evangelista, Marzolla, "Dissecting FLOPs along input dimensions
// for GreenAI cost estimations", LOD 2021 (arXiv 2107.11949):
//
//     alpha_K(S) = ((S_K + beta_K (S - S_K)) / S)^gamma_K,    S_K = min(ln(k_h k_w) + 1, S)
//     time       = (t0^p + (c alpha_K(S) macs)^p)^(1/p)
//
// with S = batch * h_out * w_out. The published form has t0 = 0. Operators that move data instead
// of multiplying have time = (t0^p + (r bytes_read + w bytes_written)^p)^(1/p).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "alphaflops/profile.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// The paper's factor; S below one is taken as one.
double alpha(double s, double kernel_volume, double beta, double gamma);

/// Where `predict` writes; every span has one element a row of the work table.
struct PredictionView {
  std::span<double> time_s;     // NaN where the profile does not price the row
  std::span<double> time_lo_s;  // interval of the row alone
  std::span<double> time_hi_s;
  std::span<double> alpha;  // NaN where the model has none
};

/// Rows of a kind the profile declares out of scope, and rows of unknown kind, get NaN; any other
/// kind or dtype it lacks raises ProfileError. No allocation; thread-safe.
void predict(const WorkTable& work, const Profile& profile, PredictionView out);

struct Totals {
  double time_s = 0.0;
  double time_lo_s = 0.0;
  double time_hi_s = 0.0;
  double alpha_flops = 0.0;  // sum of alpha * macs, in MACs as in the paper
  std::size_t unpriced_rows = 0;
};

/// Sums a prediction. Errors are taken as fully correlated within a kind and as independent between
/// kinds: half-widths add linearly within, in quadrature between.
Totals total(const WorkTable& work, PredictionView prediction);

}  // namespace alphaflops
