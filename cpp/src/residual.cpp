// Traits of a launch, the domain that was measured, and the trees that correct a time inside it.
#include <algorithm>
#include <cmath>

#include "alphaflops/cost.hpp"

namespace alphaflops {
namespace {

float log_of(double value) { return static_cast<float>(std::log2(std::max(value, 1e-12))); }
float rest_of(double value, double divisor) {
  return static_cast<float>(value - divisor * std::floor(value / divisor));
}

}  // namespace

const std::array<std::string_view, trait_count> trait_names{
    "batch",  "height", "width",  "c_in",       "c_out",        "groups",
    "kernel", "stride", "macs",   "bytes_read", "weight_bytes", "bytes_written",
    "core_s", "padded", "biased", "c_in_mod_8", "c_out_mod_8",  "width_mod_4"};

Traits traits_of(const Launch& x, double core_s) {
  return {log_of(x.batch),
          log_of(x.height),
          log_of(x.width),
          log_of(x.c_in),
          log_of(x.c_out),
          log_of(x.groups),
          log_of(x.kernel_volume),
          log_of(x.stride),
          log_of(x.macs),
          log_of(x.bytes_read),
          log_of(x.weight_bytes + 1),
          log_of(x.bytes_written),
          log_of(core_s),
          static_cast<float>(x.padded_bytes / std::max(x.bytes_read, 1.0)),
          x.biased ? 1.0f : 0.0f,
          rest_of(x.c_in, 8),
          rest_of(x.c_out, 8),
          rest_of(x.width, 4)};
}

double Domain::squared_distance(const Traits& traits) const {
  if (!known) return 0.0;
  double sum = 0.0;
  for (std::size_t k = 0; k < low.size(); ++k) {
    const double outside =
        std::max({0.0, double{low[k]} - double{traits[k]}, double{traits[k]} - double{high[k]}});
    sum += outside * outside;
  }
  return sum;
}

double Forest::sum(const Traits& traits) const {
  double total = 0.0;
  for (const std::int32_t root : roots) {
    std::int32_t at = root;
    for (const Node* node = &nodes[static_cast<std::size_t>(at)]; node->trait >= 0;
         node = &nodes[static_cast<std::size_t>(at)]) {
      at = traits[static_cast<std::size_t>(node->trait)] <= node->value ? at + 1 : node->right;
    }
    total += double{nodes[static_cast<std::size_t>(at)].value};
  }
  return total;
}

}  // namespace alphaflops
