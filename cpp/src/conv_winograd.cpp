// Convolution by Winograd's minimal filtering, a block of tiles at a time.
//
// The workspace holds the transformed tiles [position][tile][c_in] and, for one block of output
// channels, their products [position][tile][c_out].
#include <algorithm>
#include <cstdint>

#include "conv_driver.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

constexpr int64_t kMaxPatch = 6;

// G, row by row: 1, p, p^2 over the product of p's distances to the other points.
void filter_matrix(int64_t tile, double (&g)[kMaxPatch][3]) {
  const double a = tile == 2 ? 1.0 : static_cast<double>(kernels::kWinogradA);
  const double b = static_cast<double>(kernels::kWinogradB);
  const double points[] = {0.0, a, -a, b, -b};
  const int64_t count = tile + 1;
  for (int64_t i = 0; i < count; ++i) {
    double distance = 1.0;
    for (int64_t j = 0; j < count; ++j) {
      if (j != i) distance *= points[i] - points[j];
    }
    g[i][0] = 1.0 / distance;
    g[i][1] = points[i] / distance;
    g[i][2] = points[i] * points[i] / distance;
  }
  g[count][0] = g[count][1] = 0.0;
  g[count][2] = 1.0;
  if (tile == 2) g[0][0] = 1.0;  // the input's transform takes the sign
}

}  // namespace

void pack_winograd(const ConvPlan& plan, const float* weights, float* packed) {
  const int64_t n = plan.tile + 2;
  double g[kMaxPatch][3];
  filter_matrix(plan.tile, g);
  std::fill_n(packed, plan.packed_size, 0.0f);
  for (int64_t vector = 0; vector < plan.group_vectors; vector += plan.vectors) {
    const int64_t width = std::min(plan.vectors, plan.group_vectors - vector) * plan.lanes;
    const int64_t channels = std::min(width, plan.group_out - vector * plan.lanes);
    for (int64_t lane = 0; lane < channels; ++lane) {
      for (int64_t c = 0; c < plan.group_in; ++c) {
        const float* filter = weights + ((vector * plan.lanes + lane) * plan.group_in + c) * 9;
        for (int64_t i = 0; i < n; ++i) {
          double row[3];
          for (int64_t t = 0; t < 3; ++t) {
            row[t] = g[i][0] * static_cast<double>(filter[t]) +
                     g[i][1] * static_cast<double>(filter[3 + t]) +
                     g[i][2] * static_cast<double>(filter[6 + t]);
          }
          for (int64_t j = 0; j < n; ++j) {
            packed[((i * n + j) * plan.group_in + c) * width + lane] =
                static_cast<float>(row[0] * g[j][0] + row[1] * g[j][1] + row[2] * g[j][2]);
          }
        }
      }
    }
    packed += plan.positions() * plan.group_in * width;
  }
}

void run_winograd(const ConvPlan& plan, const kernels::WinogradTable& transforms,
                  const kernels::GemmTable<float, float>& gemm, const ConvCall<float, float>& call,
                  const ConvPart& part) {
  constexpr Clamp<float> kOpen = Clamp<float>::none();
  const Conv2dShape& s = plan.shape;
  const int64_t m = plan.tile;
  const int64_t positions = plan.positions();
  const int form = m == 4 ? 1 : 0;
  float* const before = call.workspace;
  float* const after = before + positions * plan.position_in;

  kernels::WinogradInput in{};
  in.input_pixel = s.c_in;
  in.input_row = s.w_in * s.c_in;
  in.position = plan.position_in;
  in.channels = s.c_in;
  kernels::WinogradOutput out{};
  out.tiles = after;
  out.position = plan.position_out;
  out.output_pixel = s.c_out;
  out.output_row = plan.w_out * s.c_out;
  out.low = call.clamp.low;
  out.high = call.clamp.high;
  kernels::GemmArgs<float, float> product{};
  product.depth = s.c_in;
  product.a_pixel = plan.tile_words;
  product.last_lanes = plan.lanes;
  product.low = kOpen.low;
  product.high = kOpen.high;

  const int64_t all = part.unit_last - part.unit_first;
  if (all == 0 || part.block_first == part.block_last) return;
  const int64_t step = ceil_div(all, ceil_div(all, plan.tile_block));
  for (int64_t first = part.unit_first; first < part.unit_last; first += step) {
    const int64_t count = std::min(step, part.unit_last - first);
    for (int64_t i = 0; i < count; ++i) {
      const int64_t x = (first + i) % plan.tiles_w * m - s.pad_left;
      const int64_t y = (first + i) / plan.tiles_w % plan.tiles_h * m - s.pad_top;
      const int64_t image = (first + i) / plan.tiles_w / plan.tiles_h;
      in.row_first = std::max<int64_t>(0, -y);
      in.row_last = std::min(m + 2, s.h_in - y);
      in.column_first = std::max<int64_t>(0, -x);
      in.column_last = std::min(m + 2, s.w_in - x);
      in.input = call.input + ((image * s.h_in + y) * s.w_in + x) * s.c_in;
      in.tiles = before + i * plan.tile_words;
      transforms.input[form](&in);
    }
    for (int64_t block = part.block_first; block < part.block_last; ++block) {
      const int64_t vector = block * plan.vectors;
      const float* panel = call.packed + positions * s.c_in * vector * plan.lanes;
      const int64_t width = std::min(plan.vectors, plan.group_vectors - vector);
      const int64_t channel = vector * plan.lanes;
      product.pixels = count;
      product.output_pixel = width * plan.lanes;
      for (int64_t position = 0; position < positions; ++position) {
        product.a = before + position * plan.position_in;
        product.panel = panel;
        product.output = after + position * plan.position_out;
        gemm.panel[width](&product);
        panel += s.c_in * width * plan.lanes;
      }
      out.channels = std::min(width * plan.lanes, s.c_out - channel);
      out.bias = call.bias == nullptr ? nullptr : call.bias + channel;
      for (int64_t i = 0; i < count; ++i) {
        const int64_t x = (first + i) % plan.tiles_w * m;
        const int64_t y = (first + i) / plan.tiles_w % plan.tiles_h * m;
        const int64_t image = (first + i) / plan.tiles_w / plan.tiles_h;
        out.rows = std::min(m, plan.h_out - y);
        out.columns = std::min(m, plan.w_out - x);
        out.tiles = after + i * product.output_pixel;
        out.output = call.output + ((image * plan.h_out + y) * plan.w_out + x) * s.c_out + channel;
        transforms.output[form](&out);
      }
    }
  }
}

}  // namespace alphaflops
