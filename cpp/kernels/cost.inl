// The equations of the cost model, as loops over rows that the compiler vectorises for the
// instruction set of the file that includes this. cost_terms.hpp says what they mean.
#pragma once

#include "cost_table.hpp"
#include "cost_tiled.inl"
#include "real.inl"

namespace alphaflops::kernels {
namespace {

/// (a^p + b^p)^(1/p) for a, b >= 0.
AF_REAL double p_norm(double a, double b, double p) {
  const double big = larger(a, b), small = smaller(a, b);
  const double share = exp_of(p * ln(larger(small / larger(big, kLeast), kLeast)));
  return big * exp_of(ln(1 + share) / p);
}

AF_REAL double p_norm(double a, double b, double c, double p) {
  const double big = larger(larger(a, b), c), small = smaller(smaller(a, b), c);
  const double middle = larger(smaller(a, b), smaller(larger(a, b), c));
  const double scale = 1 / larger(big, kLeast);
  const double shares = exp_of(p * ln(larger(middle * scale, kLeast))) +
                        exp_of(p * ln(larger(small * scale, kLeast)));
  return big * exp_of(ln(1 + shares) / p);
}

AF_REAL double rows_of(const LaunchColumns& x, int i) {
  return larger(real(x.batch[i]) * real(x.spatial[i]), 1.0);
}

/// Logarithms of small numbers, by the function that computes the others.
struct LogTable {
  static constexpr std::uint64_t size = 256;
  double ln_of[size];
  LogTable() {
    for (std::uint64_t i = 0; i < size; ++i) ln_of[i] = ln(real(static_cast<std::int64_t>(i)));
  }
};

/// Logarithms of kernel volumes: most tables have few and small ones.
void log_volumes(const LaunchColumns& x, int n, double* logs) {
  static const LogTable table;
  std::uint64_t other = 0, all = 0;
  for (int i = 0; i < n; ++i) {
    const auto volume = static_cast<std::uint64_t>(x.kernel_volume[i]);
    other |= volume ^ static_cast<std::uint64_t>(x.kernel_volume[0]);
    all |= volume;
  }
  if (other == 0) {
    const double log = ln(real(x.kernel_volume[0]));
    for (int i = 0; i < n; ++i) logs[i] = log;
  } else if (all < LogTable::size) {
    for (int i = 0; i < n; ++i) logs[i] = table.ln_of[x.kernel_volume[i]];
  } else {
    for (int i = 0; i < n; ++i) logs[i] = ln(real(x.kernel_volume[i]));
  }
}

/// Alpha of every row, a step at a time: a processor finds work enough in short chains of several
/// rows, where one of all steps would leave it waiting.
void alpha_factors(const LaunchColumns& x, int n, double beta, double gamma, double* alpha) {
  double log_volume[kCostRows], share[kCostRows];
  log_volumes(x, n, log_volume);
  for (int i = 0; i < n; ++i) {
    const double s = rows_of(x, i);
    const double s_k = smaller(log_volume[i] + 1, s);
    share[i] = (s_k + beta * (s - s_k)) / s;
  }
  for (int i = 0; i < n; ++i) share[i] = ln(share[i]);
  for (int i = 0; i < n; ++i) alpha[i] = exp_of(gamma * share[i]);
}

void alpha(const AlphaCost* cost, const LaunchColumns* columns, int n, double* time_s,
           double* alpha) {
  const AlphaCost c = *cost;
  const LaunchColumns x = *columns;
  alpha_factors(x, n, c.beta, c.gamma, alpha);
  if (c.sharpness == 1.0 || c.floor_s == 0.0) {
    for (int i = 0; i < n; ++i) {
      time_s[i] = c.floor_s + c.seconds_per_mac * alpha[i] * real(x.macs[i]);
    }
    return;
  }
  for (int i = 0; i < n; ++i) {
    time_s[i] = p_norm(c.floor_s, c.seconds_per_mac * alpha[i] * real(x.macs[i]), c.sharpness);
  }
}

void traffic(const TrafficTerms* cost, const double* op_factors, const LaunchColumns* columns,
             int n, double* time_s) {
  const TrafficTerms c = *cost;
  const LaunchColumns x = *columns;
  const double read = c.seconds_per_byte_read * x.element_bytes;
  const double written = c.seconds_per_byte_written * x.element_bytes;
  for (int i = 0; i < n; ++i) {
    time_s[i] = read * (real(x.activations_read[i]) + real(x.weights_read[i])) +
                written * real(x.elements_written[i]);
  }
  if (c.seconds_per_tap != 0.0) {
    for (int i = 0; i < n; ++i) time_s[i] += c.seconds_per_tap * real(x.flops[i]);
  }
  if (op_factors != nullptr) {
    for (int i = 0; i < n; ++i) time_s[i] *= op_factors[x.op[i]];
  }
  if (c.sharpness == 1.0 || c.floor_s == 0.0) {
    for (int i = 0; i < n; ++i) time_s[i] += c.floor_s;
  } else {
    for (int i = 0; i < n; ++i) time_s[i] = p_norm(c.floor_s, time_s[i], c.sharpness);
  }
}

void roofline(const RooflineCost* cost, const LaunchColumns* columns, int n, double* time_s,
              double* alpha) {
  const RooflineCost c = *cost;
  const LaunchColumns x = *columns;
  double compute[kCostRows], moved[kCostRows];
  alpha_factors(x, n, c.beta, c.gamma, alpha);
  for (int i = 0; i < n; ++i) {
    const double s = rows_of(x, i), volume = real(x.kernel_volume[i]);
    const double groups = real(x.groups[i]), c_in = real(x.c_in[i]), c_out = real(x.c_out[i]);
    // (alpha + half_rows / S) (1 + half_c_out groups / c_out) (1 + half_depth groups / K)
    const double depth = c_in * volume;
    const double rates = (alpha[i] * s + c.half_rows) * (c_out + c.half_c_out * groups) *
                         (depth + c.half_depth * groups);
    compute[i] = c.seconds_per_mac * real(x.macs[i]) * (rates / (s * c_out * depth));
  }
  const double weight = c.seconds_per_weight_byte * x.element_bytes;
  const double read = c.seconds_per_byte_read * x.element_bytes;
  const double written = c.seconds_per_byte_written * x.element_bytes;
  for (int i = 0; i < n; ++i) {
    moved[i] = weight * real(x.weights_read[i]) + read * real(x.activations_read[i]) +
               written * real(x.elements_written[i]);
  }
  if (c.sharpness == 1.0) {
    for (int i = 0; i < n; ++i) time_s[i] = c.floor_s + compute[i] + moved[i];
  } else {
    for (int i = 0; i < n; ++i) time_s[i] = p_norm(c.floor_s, compute[i], moved[i], c.sharpness);
  }
  const double padded = c.seconds_per_padded_byte * x.element_bytes;
  for (int i = 0; i < n; ++i) time_s[i] += padded * real(x.padded_elements[i]);
}

void beyond(const CacheTerms* cache, const LaunchColumns* columns, int n, double* time_s) {
  const CacheTerms c = *cache;
  const LaunchColumns x = *columns;
  for (int i = 0; i < n; ++i) {
    const double elements =
        real(x.activations_read[i]) + real(x.weights_read[i]) + real(x.elements_written[i]);
    time_s[i] +=
        c.seconds_per_byte_beyond * larger(x.element_bytes * elements - c.cache_bytes, 0.0);
  }
}

/// The sizes that a domain bounds, in the order of trait_names.
AF_REAL double size_of(const LaunchColumns& x, const double* core_s, int trait, int i) {
  switch (trait) {
    case 0: return real(x.batch[i]);
    case 1: return real(x.spatial[i]) / real(x.width[i]);
    case 2: return real(x.width[i]);
    case 3: return real(x.c_in[i]) / real(x.groups[i]);
    case 4: return real(x.c_out[i]) / real(x.groups[i]);
    case 5: return real(x.groups[i]);
    case 6: return real(x.kernel_volume[i]);
    case 7: return real(x.stride[i]);
    case 8: return real(x.macs[i]);
    case 9: return x.element_bytes * real(x.activations_read[i]);
    case 10: return x.element_bytes * real(x.weights_read[i]) + 1;
    case 11: return x.element_bytes * real(x.elements_written[i]);
    default: return core_s[i];
  }
}

template <int trait>
void log2_sizes(const LaunchColumns& x, const double* core_s, int n, float* traits) {
  if constexpr (trait < bounded_trait_count) {
    float* to = traits + trait * kCostRows;
    for (int i = 0; i < n; ++i) {
      constexpr double per_octave = 0x1.71547652b82fep0;  // 1 / ln 2
      const double size = larger(size_of(x, core_s, trait, i), 1e-12);
      to[i] = static_cast<float>(ln(size) * per_octave);
    }
    log2_sizes<trait + 1>(x, core_s, n, traits);
  }
}

AF_REAL float rest_of(double value, double divisor) {
  return static_cast<float>(value - divisor * __builtin_floor(value / divisor));
}

/// How often 2 divides a whole number, up to 16: a remainder would set 5 apart from 1 and 7.
AF_REAL float alignment_of(double value) {
  return (rest_of(value, 2) == 0 ? 1.0f : 0.0f) + (rest_of(value, 4) == 0 ? 1.0f : 0.0f) +
         (rest_of(value, 8) == 0 ? 1.0f : 0.0f) + (rest_of(value, 16) == 0 ? 1.0f : 0.0f);
}

void traits(const LaunchColumns* columns, const double* core_s, int n, float* traits) {
  const LaunchColumns x = *columns;
  log2_sizes<0>(x, core_s, n, traits);
  float* to = traits + bounded_trait_count * kCostRows;
  for (int i = 0; i < n; ++i) {
    const double padded = x.element_bytes * real(x.padded_elements[i]);
    const double groups = real(x.groups[i]);
    to[i] = static_cast<float>(padded / larger(x.element_bytes * real(x.activations_read[i]), 1));
    to[kCostRows + i] = x.biased[i] != 0 ? 1.0f : 0.0f;
    to[2 * kCostRows + i] = alignment_of(real(x.c_in[i]) / groups);
    to[3 * kCostRows + i] = alignment_of(real(x.c_out[i]) / groups);
    to[4 * kCostRows + i] = rest_of(real(x.width[i]), 4);
    to[5 * kCostRows + i] = alignment_of(groups);
  }
}

/// Whether size / unit is outside of a range: products take a tenth of what quotients do.
AF_REAL std::uint64_t outside(double size, double unit, double least, double most) {
  return (size < least * unit ? 1u : 0u) | (size > most * unit ? 1u : 0u);
}

/// The same sizes as `size_of`, in the same order.
bool all_inside(const LaunchColumns* columns, const double* core_s, int n, const double* least,
                const double* most) {
  const LaunchColumns x = *columns;
  std::uint64_t found = 0;
  for (int i = 0; i < n; ++i) {
    const double width = real(x.width[i]), groups = real(x.groups[i]);
    found |= outside(real(x.batch[i]), 1, least[0], most[0]);
    found |= outside(real(x.spatial[i]), width, least[1], most[1]);
    found |= outside(width, 1, least[2], most[2]);
    found |= outside(real(x.c_in[i]), groups, least[3], most[3]);
    found |= outside(real(x.c_out[i]), groups, least[4], most[4]);
    found |= outside(groups, 1, least[5], most[5]);
    found |= outside(real(x.kernel_volume[i]), 1, least[6], most[6]);
    found |= outside(real(x.stride[i]), 1, least[7], most[7]);
    found |= outside(real(x.macs[i]), 1, least[8], most[8]);
  }
  for (int i = 0; i < n; ++i) {
    found |= outside(x.element_bytes * real(x.activations_read[i]), 1, least[9], most[9]);
    found |= outside(x.element_bytes * real(x.weights_read[i]) + 1, 1, least[10], most[10]);
    found |= outside(x.element_bytes * real(x.elements_written[i]), 1, least[11], most[11]);
    found |= outside(core_s[i], 1, least[12], most[12]);
  }
  return found == 0;
}

void forest(const ForestSplit* splits, const std::int32_t* ends, const float* leaves, int trees,
            const float* traits, int n, double* sums) {
  std::uint32_t remaining[kCostRows];
  for (int i = 0; i < n; ++i) sums[i] = 0.0;
  for (int t = 0, k = 0; t < trees; ++t, leaves += most_leaves) {
    for (int i = 0; i < n; ++i) remaining[i] = ~0u;
    for (; k < ends[t]; ++k) {
      const ForestSplit split = splits[k];
      const float* trait = traits + split.trait * kCostRows;
      for (int i = 0; i < n; ++i) {
        remaining[i] &= trait[i] > split.threshold ? split.remaining : ~0u;
      }
    }
    for (int i = 0; i < n; ++i) sums[i] += leaves[__builtin_ctz(remaining[i])];
  }
}

#define AF_COST_TABLE {alpha, traffic, roofline, tiled, beyond, traits, all_inside, forest}

}  // namespace
}  // namespace alphaflops::kernels
