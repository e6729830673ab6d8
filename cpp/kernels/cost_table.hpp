// The equations of the cost model on many rows, for one instruction set.
#pragma once

#include "alphaflops/cost_terms.hpp"

namespace alphaflops::kernels {

inline constexpr int kCostRows = 64;  // the most that one call takes

// n rows of x; time_s[n], and alpha[n] where the form has it.
struct CostTable {
  void (*alpha)(const AlphaCost* cost, const LaunchColumns* x, int n, double* time_s,
                double* alpha);
  // Factors are by operator; null: all are 1.
  void (*traffic)(const TrafficTerms* cost, const double* op_factors, const LaunchColumns* x, int n,
                  double* time_s);
  void (*roofline)(const RooflineCost* cost, const LaunchColumns* x, int n, double* time_s,
                   double* alpha);
  void (*tiled)(const TiledTerms* cost, const TileCandidate* candidates, int count,
                const LaunchColumns* x, int n, double* time_s);
  // Adds to time_s[n].
  void (*beyond)(const CacheTerms* cache, const LaunchColumns* x, int n, double* time_s);
  // Trait k of row i goes to traits[k * kCostRows + i].
  void (*traits)(const LaunchColumns* x, const double* core_s, int n, float* traits);
  // Whether what a domain bounds lies from least to most, all but its logarithm, in every row.
  bool (*all_inside)(const LaunchColumns* x, const double* core_s, int n, const double* least,
                     const double* most);
  // Sums of the trees' leaves; ends[t] is where the splits of tree t end, leaves[t * most_leaves]
  // its first leaf.
  void (*forest)(const ForestSplit* splits, const std::int32_t* ends, const float* leaves,
                 int trees, const float* traits, int n, double* sums);
};

extern const CostTable cost_scalar, cost_neon, cost_avx2, cost_avx512;

}  // namespace alphaflops::kernels
