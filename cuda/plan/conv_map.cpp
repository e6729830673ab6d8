#include "conv_map.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace alphaflops::cuda {

namespace {

using std::int64_t;

bool fits(const Conv2dShape& s) {
  const int64_t h_out = s.h_out(), w_out = s.w_out();
  const int64_t sizes[] = {
      s.batch * h_out * w_out,
      s.batch * s.h_in * s.w_in,
      (s.h_in + s.pad_top + s.pad_bottom) * (s.w_in + s.pad_left + s.pad_right) * s.c_in,
      (h_out + s.k_h * s.dilation_h) * (w_out + s.k_w * s.dilation_w) * s.c_out,
      s.c_out * s.k_h * s.k_w * (s.c_in / s.groups),
      s.stride_h,
      s.stride_w};
  return std::ranges::all_of(
      sizes, [](int64_t size) { return size < std::numeric_limits<int>::max() / 2; });
}

void set_rows(ConvMap& map, int64_t images, int64_t h, int64_t w) {
  map.rows = int_of(images * h * w);
  map.by_image = make_divisor(static_cast<unsigned>(std::max<int64_t>(h * w, 1)));
  map.by_width = make_divisor(static_cast<unsigned>(std::max<int64_t>(w, 1)));
}

void set_channels(ConvMap& map, int64_t channels) {
  map.channels = int_of(channels);
  map.by_channels = make_divisor(static_cast<unsigned>(channels));
}

ConvPhase& add_phase(ConvMap& map, int64_t taps_h, int64_t taps_w) {
  ConvPhase& phase = map.phases[map.phase_count++];
  phase.depth = int_of(taps_h * taps_w * map.channels);
  phase.by_taps_w = make_divisor(static_cast<unsigned>(std::max<int64_t>(taps_w, 1)));
  return phase;
}

ConvProduct forward(const Conv2dShape& s) {
  const int64_t channels = s.c_in / s.groups;
  ConvProduct product;
  ConvMap& map = product.map;
  set_rows(map, s.batch, s.h_out(), s.w_out());
  set_channels(map, channels);
  ConvPhase& phase = add_phase(map, s.k_h, s.k_w);
  phase.origin_h = int_of(-s.pad_top), phase.origin_w = int_of(-s.pad_left);
  map.columns = int_of(s.c_out / s.groups);
  map.source_h = int_of(s.h_in), map.source_w = int_of(s.w_in), map.source_pitch = int_of(s.c_in);
  map.step_h = int_of(s.stride_h), map.step_w = int_of(s.stride_w);
  map.reach_h = int_of(s.dilation_h), map.reach_w = int_of(s.dilation_w);
  map.weight_pitch = phase.depth;
  map.weight_tap_h = int_of(s.k_w * channels), map.weight_tap_w = int_of(channels);
  map.result_h = int_of(s.h_out()), map.result_w = int_of(s.w_out());
  map.result_pitch = int_of(s.c_out), map.result_group = map.columns;
  map.result_step_h = map.result_step_w = 1;
  product.is_pointwise = s.k_h == 1 && s.k_w == 1 && s.pad_top == 0 && s.pad_bottom == 0 &&
                         s.pad_left == 0 && s.pad_right == 0;
  return product;
}

// Along one axis, input pixel h = phase + stride i takes from output pixel p by tap r where
// p stride = h + pad - r dilation. Such taps are r0, r0 + period, ...; each next one moves p by
// -period dilation / stride.
struct Axis {
  int64_t size, stride, pad, dilation, taps;

  int64_t phases() const { return std::min(stride, size); }
  int64_t rows() const { return (size + stride - 1) / stride; }  // of the phase that has most
  int64_t period() const { return stride / std::gcd(stride, dilation); }
  int64_t reach() const { return -period() * dilation / stride; }
};
struct AxisPhase {
  int64_t origin = 0, first_tap = 0, taps = 0, source_origin = 0;
};

AxisPhase phase_of(const Axis& axis, int64_t origin) {
  for (int64_t r = 0; r < std::min(axis.taps, axis.period()); ++r) {
    const int64_t met = origin + axis.pad - r * axis.dilation;
    if (met % axis.stride != 0) continue;
    return {origin, r, (axis.taps - r + axis.period() - 1) / axis.period(), met / axis.stride};
  }
  return {origin};
}

std::vector<ConvProduct> input_gradient_products(const Conv2dShape& s, int phases_a_product) {
  const int64_t channels = s.c_out / s.groups;
  const Axis h{s.h_in, s.stride_h, s.pad_top, s.dilation_h, s.k_h};
  const Axis w{s.w_in, s.stride_w, s.pad_left, s.dilation_w, s.k_w};
  ConvMap common{};
  set_rows(common, s.batch, h.rows(), w.rows());
  set_channels(common, channels);
  common.columns = int_of(s.c_in / s.groups);
  common.source_h = int_of(s.h_out()), common.source_w = int_of(s.w_out());
  common.source_pitch = int_of(s.c_out);
  common.step_h = common.step_w = 1;
  common.reach_h = int_of(h.reach()), common.reach_w = int_of(w.reach());
  common.weight_pitch = int_of(s.k_h * s.k_w * channels);
  common.weight_tap_h = int_of(h.period() * s.k_w * channels);
  common.weight_tap_w = int_of(w.period() * channels);
  common.result_h = int_of(s.h_in), common.result_w = int_of(s.w_in);
  common.result_pitch = int_of(s.c_in), common.result_group = common.columns;
  common.result_step_h = int_of(s.stride_h), common.result_step_w = int_of(s.stride_w);
  std::vector<ConvProduct> products;
  for (int64_t i = 0; i < h.phases() * w.phases(); ++i) {
    const AxisPhase y = phase_of(h, i / w.phases()), x = phase_of(w, i % w.phases());
    if (i % phases_a_product == 0) products.push_back({common, true});
    const bool any = y.taps > 0 && x.taps > 0;  // else nothing was read from these pixels: zeros
    ConvPhase& phase = add_phase(products.back().map, any ? y.taps : 0, any ? x.taps : 0);
    phase.origin_h = int_of(y.source_origin), phase.origin_w = int_of(x.source_origin);
    phase.result_origin_h = int_of(y.origin), phase.result_origin_w = int_of(x.origin);
    phase.weight = int_of((y.first_tap * s.k_w + x.first_tap) * channels);
    products.back().is_pointwise &=
        !any ||
        (y.taps == 1 && x.taps == 1 && y.source_origin >= 0 && x.source_origin >= 0 &&
         y.source_origin + h.rows() <= s.h_out() && x.source_origin + w.rows() <= s.w_out());
  }
  for (ConvProduct& product : products) {
    ConvPhase* const first = product.map.phases;
    std::stable_sort(first, first + product.map.phase_count,
                     [](const ConvPhase& a, const ConvPhase& b) { return a.depth > b.depth; });
  }
  return products;
}

}  // namespace

std::optional<ConvProduct> forward_product(const Conv2dShape& shape) {
  if (!fits(shape)) return std::nullopt;
  return forward(shape);
}

std::vector<ConvProduct> conv_products(const Problem& problem, int phases) {
  const Conv2dShape& s = problem.shape;
  if (!fits(s)) return {};
  if (problem.pass == Pass::forward) return {forward(s)};
  if (problem.pass != Pass::input_gradient || problem.dtype == DType::int8) return {};
  return input_gradient_products(s, phases);
}

bool suits(Access access, const Problem& problem, const std::vector<ConvProduct>& products) {
  const bool fills_pieces = products[0].map.channels * size_of(problem.dtype) % 16 == 0;
  if (!fills_pieces || access == Access::scalar) return !fills_pieces && access == Access::scalar;
  const bool pointwise =
      std::ranges::all_of(products, [](const ConvProduct& p) { return p.is_pointwise; });
  return access == (pointwise ? Access::pointwise : Access::vector);
}

}  // namespace alphaflops::cuda
