#include "conv_map.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace alphaflops::cuda {

namespace {

using std::int64_t;

int narrow(int64_t size) { return static_cast<int>(size); }

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
  map.rows = narrow(images * h * w);
  map.by_image = make_divisor(static_cast<unsigned>(std::max<int64_t>(h * w, 1)));
  map.by_width = make_divisor(static_cast<unsigned>(std::max<int64_t>(w, 1)));
}

void set_depth(ConvMap& map, int64_t taps_h, int64_t taps_w, int64_t channels) {
  map.channels = narrow(channels);
  map.depth = narrow(taps_h * taps_w * channels);
  map.by_channels = make_divisor(static_cast<unsigned>(channels));
  map.by_taps_w = make_divisor(static_cast<unsigned>(std::max<int64_t>(taps_w, 1)));
}

ConvProduct forward(const Conv2dShape& s) {
  const int64_t channels = s.c_in / s.groups;
  ConvProduct product;
  ConvMap& map = product.map;
  set_rows(map, s.batch, s.h_out(), s.w_out());
  set_depth(map, s.k_h, s.k_w, channels);
  map.columns = narrow(s.c_out / s.groups);
  map.source_h = narrow(s.h_in), map.source_w = narrow(s.w_in), map.source_pitch = narrow(s.c_in);
  map.step_h = narrow(s.stride_h), map.step_w = narrow(s.stride_w);
  map.origin_h = narrow(-s.pad_top), map.origin_w = narrow(-s.pad_left);
  map.reach_h = narrow(s.dilation_h), map.reach_w = narrow(s.dilation_w);
  map.weight_pitch = map.depth;
  map.weight_tap_h = narrow(s.k_w * channels), map.weight_tap_w = narrow(channels);
  map.result_h = narrow(s.h_out()), map.result_w = narrow(s.w_out());
  map.result_pitch = narrow(s.c_out), map.result_group = map.columns;
  map.result_step_h = map.result_step_w = 1;
  product.is_pointwise = s.k_h == 1 && s.k_w == 1 && s.pad_top == 0 && s.pad_bottom == 0 &&
                         s.pad_left == 0 && s.pad_right == 0;
  return product;
}

// Along one axis, input pixel h = phase + stride i takes from output pixel p by tap r where
// p stride = h + pad - r dilation. Such taps are r0, r0 + period, ...; each next one moves p by
// -period dilation / stride.
struct Phase {
  int64_t origin = 0, rows = 0, first_tap = 0, taps = 0, period = 1, source_origin = 0, reach = 0;
};

Phase phase_of(int64_t origin, int64_t size, int64_t stride, int64_t pad, int64_t dilation,
               int64_t taps) {
  Phase phase;
  phase.origin = origin;
  phase.rows = (size - origin + stride - 1) / stride;
  phase.period = stride / std::gcd(stride, dilation);
  phase.reach = -phase.period * dilation / stride;
  for (int64_t r = 0; r < std::min(taps, phase.period); ++r) {
    if ((origin + pad - r * dilation) % stride == 0) {
      phase.first_tap = r;
      phase.taps = (taps - r + phase.period - 1) / phase.period;
      phase.source_origin = (origin + pad - r * dilation) / stride;
      break;
    }
  }
  return phase;
}

ConvProduct input_gradient(const Conv2dShape& s, const Phase& h, const Phase& w) {
  const int64_t channels = s.c_out / s.groups;
  ConvProduct product;
  ConvMap& map = product.map;
  const bool any = h.taps > 0 && w.taps > 0;  // else nothing was read from these pixels: zeros
  set_rows(map, s.batch, h.rows, w.rows);
  set_depth(map, any ? h.taps : 0, any ? w.taps : 0, channels);
  map.columns = narrow(s.c_in / s.groups);
  map.source_h = narrow(s.h_out()), map.source_w = narrow(s.w_out());
  map.source_pitch = narrow(s.c_out);
  map.step_h = map.step_w = 1;
  map.origin_h = narrow(h.source_origin), map.origin_w = narrow(w.source_origin);
  map.reach_h = narrow(h.reach), map.reach_w = narrow(w.reach);
  map.weight_pitch = narrow(s.k_h * s.k_w * channels);
  map.weight_tap_h = narrow(h.period * s.k_w * channels);
  map.weight_tap_w = narrow(w.period * channels);
  map.result_h = narrow(s.h_in), map.result_w = narrow(s.w_in), map.result_pitch = narrow(s.c_in);
  map.result_group = map.columns;
  map.result_step_h = narrow(s.stride_h), map.result_step_w = narrow(s.stride_w);
  map.result_origin_h = narrow(h.origin), map.result_origin_w = narrow(w.origin);
  product.weight_offset = (h.first_tap * s.k_w + w.first_tap) * channels;
  product.is_pointwise =
      !any || (h.taps == 1 && w.taps == 1 && map.origin_h >= 0 && map.origin_w >= 0 &&
               map.origin_h + h.rows <= map.source_h && map.origin_w + w.rows <= map.source_w);
  return product;
}

}  // namespace

std::optional<ConvProduct> forward_product(const Conv2dShape& shape) {
  if (!fits(shape)) return std::nullopt;
  return forward(shape);
}

std::vector<ConvProduct> conv_products(const Problem& problem) {
  const Conv2dShape& s = problem.shape;
  if (!fits(s)) return {};
  if (problem.pass == Pass::forward) return {forward(s)};
  if (problem.pass != Pass::input_gradient || problem.dtype == DType::int8) return {};
  std::vector<ConvProduct> products;
  for (int64_t y = 0; y < std::min(s.stride_h, s.h_in); ++y) {
    for (int64_t x = 0; x < std::min(s.stride_w, s.w_in); ++x) {
      products.push_back(
          input_gradient(s, phase_of(y, s.h_in, s.stride_h, s.pad_top, s.dilation_h, s.k_h),
                         phase_of(x, s.w_in, s.stride_w, s.pad_left, s.dilation_w, s.k_w)));
    }
  }
  return products;
}

bool suits(Access access, const Problem& problem, const std::vector<ConvProduct>& products) {
  const bool fills_pieces = products[0].map.channels * size_of(problem.dtype) % 16 == 0;
  if (!fills_pieces || access == Access::scalar) return !fills_pieces && access == Access::scalar;
  const bool pointwise =
      std::ranges::all_of(products, [](const ConvProduct& p) { return p.is_pointwise; });
  return access == (pointwise ? Access::pointwise : Access::vector);
}

}  // namespace alphaflops::cuda
