// Planning of convolutions: algorithm, block sizes, tiles of a row.
#include "conv_plan.hpp"

#include <string>
#include <tuple>
#include <utility>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

constexpr int64_t kWordBytes = 4;
// Weights that stay in the second-level cache while the image goes past them, in words.
constexpr int64_t kDirectPanel = 160 * 1024;
constexpr int64_t kGemmPanel = 64 * 1024;
constexpr int64_t kPatchWords = 96 * 1024;
constexpr int64_t kWinogradWords = 160 * 1024;
constexpr int64_t kLeastTiles = 2;  // in register tiles: weights are read once for so many
constexpr int64_t kLineWords = 16;  // of a cache line
// Rows this many words apart (4 KiB) share their cache sets.
constexpr int64_t kCollision = 1024;
constexpr int64_t kCollisionHeight = 7;

// The tile width, in vectors, that takes the fewest steps an output for rows of `pixels`. A step of
// a tile is bound by its multiply-adds (two a cycle), by its loads (two a cycle), by weights from
// the second-level cache (five times as long), or by the latency of multiply-adds (eight in
// flight); a short row may leave too few for that.
int direct_width(const kernels::TileSizes& sizes, int64_t pixels) {
  const auto cost = [&](int64_t width) {
    const int64_t tiles = ceil_div(pixels, sizes.pixels[width]);
    const auto step = [&](int64_t height) {
      const int64_t weights = width * sizes.lanes * 5 / 16;
      return std::max({height * width, height + width, weights, int64_t{8}});
    };
    const int64_t height = pixels / tiles;
    const int64_t taller = pixels % tiles;
    const int64_t steps = taller * step(height + 1) + (tiles - taller) * step(height);
    return static_cast<double>(steps) / static_cast<double>(width);
  };
  int best = sizes.vectors;
  for (int width = 1; width <= kernels::kMaxVectors; ++width) {
    if (sizes.pixels[width] != 0 && cost(width) < 0.97 * cost(best)) best = width;
  }
  return best;
}

// Blocks of output channels of nearly equal width, none wider than `preferred` vectors.
void plan_blocks(ConvPlan& plan, int lanes, int preferred) {
  plan.lanes = lanes;
  plan.group_vectors = ceil_div(plan.group_out, plan.lanes);
  plan.vectors = ceil_div(plan.group_vectors, ceil_div(plan.group_vectors, preferred));
  plan.packed_size =
      checked_mul(plan.shape.groups, plan.group_vectors * plan.lanes, "conv2d weights");
  for (int64_t factor : {plan.shape.k_h, plan.shape.k_w, plan.group_words}) {
    plan.packed_size = checked_mul(plan.packed_size, factor, "conv2d weights");
  }
}

// Cuts a row of outputs into tiles, and a tile where padding shortens it into segments: kernel
// columns that reach input from the same pixels. Padded taps are then never computed.
void plan_row(ConvPlan& plan, int64_t height) {
  const Conv2dShape& s = plan.shape;
  const int64_t tiles = ceil_div(plan.w_out, height);
  int64_t begin = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t pixels = plan.w_out / tiles + (tile < plan.w_out % tiles ? 1 : 0);
    const int64_t end = begin + pixels;
    std::vector<ConvSegment> segments;
    for (int64_t column = 0; column < s.k_w; ++column) {
      const int64_t shift =
          s.pad_left - column * s.dilation_w;  // output q reads input q * stride - shift
      const int64_t first = std::max(begin, shift > 0 ? ceil_div(shift, s.stride_w) : 0);
      const int64_t reach = s.w_in - 1 + shift;
      const int64_t last = std::min(end, reach >= 0 ? reach / s.stride_w + 1 : 0);
      if (first >= last) continue;
      if (!segments.empty() && segments.back().pixel == first &&
          segments.back().pixels == last - first &&
          segments.back().column + segments.back().columns == column) {
        ++segments.back().columns;
      } else {
        segments.push_back({first, last - first, column, 1, false, false});
      }
    }
    const auto whole = std::find_if(segments.begin(), segments.end(),
                                    [&](const ConvSegment& each) { return each.pixels == pixels; });
    if (segments.size() == 1 && whole != segments.end()) {
      segments[0].opens = segments[0].closes = true;
    } else if (segments.empty()) {
      segments.push_back({begin, pixels, 0, 0, true, true});
    } else {
      // The first segment only writes the bias, the last one clamps: both must cover the tile.
      if (whole != segments.end()) {
        std::rotate(whole, whole + 1, segments.end());
      } else {
        segments.push_back({begin, pixels, 0, 0, false, false});
      }
      segments.insert(segments.begin(), ConvSegment{begin, pixels, 0, 0, true, false});
      segments.back().closes = true;
    }
    plan.row.insert(plan.row.end(), segments.begin(), segments.end());
    begin = end;
  }
}

void plan_direct(ConvPlan& plan, const kernels::TileSizes& sizes) {
  const Conv2dShape& s = plan.shape;
  plan_blocks(plan, sizes.lanes, direct_width(sizes, plan.w_out));
  const int64_t panel = plan.taps() * plan.group_words * plan.vectors * plan.lanes;
  plan.depth = ceil_div(plan.group_words, ceil_div(panel, kDirectPanel));
  int64_t height = sizes.pixels[plan.vectors];
  if (s.stride_w * plan.input_words % kCollision == 0) height = std::min(height, kCollisionHeight);
  plan_row(plan, height);
}

void plan_gemm(ConvPlan& plan, const kernels::TileSizes& sizes, bool is_matrix) {
  plan_blocks(plan, sizes.lanes, sizes.vectors);
  const int64_t pixels = plan.shape.batch * plan.h_out * plan.w_out;
  const int64_t rows = plan.taps() * plan.group_words;
  const int64_t height = sizes.pixels[plan.vectors];
  plan.unit_grain = height;
  // Where one tile takes all pixels, weights are read once and blocking them would gain nothing.
  plan.depth = pixels <= height
                   ? rows
                   : ceil_div(rows, ceil_div(rows * plan.vectors * plan.lanes, kGemmPanel));
  if (is_matrix) return;
  plan.patch_stride = rows % kCollision == 0 ? rows + 16 : rows;
  plan.patch_pixels =
      std::min(pixels, std::max<int64_t>(1, kPatchWords / plan.patch_stride / height) * height);
  plan.workspace_size = checked_mul(plan.patch_pixels, plan.patch_stride, "conv2d workspace");
}

void plan_depthwise(ConvPlan& plan, int lanes) {
  plan.lanes = lanes;
  plan.group_vectors = ceil_div(plan.shape.c_in, plan.lanes);
  // One row more than the weights: the zeros that border tiles read where the input is padded.
  const int64_t taps = checked_add(checked_mul(plan.shape.k_h, plan.shape.k_w, "conv2d weights"), 1,
                                   "conv2d weights");
  plan.packed_size = checked_mul(taps, plan.group_vectors * plan.lanes, "conv2d weights");
}

void plan_winograd(ConvPlan& plan, const kernels::TileSizes& sizes) {
  const Conv2dShape& s = plan.shape;
  plan_blocks(plan, sizes.lanes, sizes.vectors);
  plan.tile = plan.algorithm == ConvAlgorithm::winograd2 ? 2 : 4;
  plan.packed_size =
      checked_mul(plan.packed_size / plan.taps(), plan.positions(), "conv2d weights");
  plan.tiles_h = ceil_div(plan.h_out, plan.tile);
  plan.tiles_w = ceil_div(plan.w_out, plan.tile);
  plan.tile_words = ceil_div(plan.group_words, kLineWords) * kLineWords;
  if (plan.tile_words % kCollision == 0) plan.tile_words += kLineWords;

  // All positions of a block of tiles, before and after the product, stay in the cache.
  const int64_t tiles = s.batch * plan.tiles_h * plan.tiles_w;
  const int64_t width = ceil_div(plan.vectors * plan.lanes, kLineWords) * kLineWords;
  const int64_t height = sizes.pixels[plan.vectors];
  const int64_t room = kWinogradWords / (plan.positions() * (plan.tile_words + width));
  plan.tile_block = std::min(tiles, std::max(room / height, kLeastTiles) * height);
  // The positions of a tile are written together: an odd number of lines apart, they share no set.
  const auto odd_lines = [](int64_t words) { return (words / kLineWords | 1) * kLineWords; };
  plan.position_in = odd_lines(checked_mul(plan.tile_block, plan.tile_words, "conv2d workspace"));
  plan.position_out = odd_lines(plan.tile_block * width);
  plan.workspace_size =
      checked_mul(plan.positions(), plan.position_in + plan.position_out, "conv2d workspace");
}

bool is_narrow_groups(const ConvPlan& plan, int lanes) {
  const Conv2dShape& s = plan.shape;
  const int64_t size = plan.group_in;
  return s.groups > 1 && size == plan.group_out && (size == 2 || size == 4 || size == 8) &&
         size < lanes && s.k_w == 3 && s.k_h <= kDepthwiseRows &&
         s.stride_w <= kernels::kDepthwiseStrides && s.dilation_w == 1;
}

void plan_grouped(ConvPlan& plan, int lanes) {
  plan.lanes = lanes;
  plan.group_vectors = ceil_div(plan.shape.c_in, plan.lanes);
  const int64_t width = plan.group_vectors * plan.lanes;
  // And the zeros that border tiles read.
  plan.packed_size = checked_add(checked_mul(plan.taps() * plan.group_in, width, "conv2d weights"),
                                 width, "conv2d weights");
}

// Every array fits the address space.
void check_bytes(const ConvPlan& plan) {
  const Conv2dShape& s = plan.shape;
  for (const auto& [pixels_h, pixels_w, channels] :
       {std::tuple{s.h_in, s.w_in, s.c_in}, std::tuple{plan.h_out, plan.w_out, s.c_out}}) {
    int64_t bytes = checked_mul(s.batch, pixels_h, "conv2d tensor bytes");
    for (int64_t factor : {pixels_w, channels, kWordBytes}) {
      bytes = checked_mul(bytes, factor, "conv2d tensor bytes");
    }
  }
}

}  // namespace

ConvPlan make_plan(const Conv2dShape& shape, Isa isa, ConvAlgorithm algorithm,
                   const ConvKernelSizes& sizes) {
  ConvPlan plan;
  plan.shape = shape;
  plan.isa = isa;
  plan.algorithm = algorithm;
  const Conv2dShape& s = plan.shape;
  s.macs();
  plan.h_out = s.h_out();
  plan.w_out = s.w_out();
  check_bytes(plan);
  plan.group_in = s.c_in / s.groups;
  plan.group_out = s.c_out / s.groups;
  plan.per_word = sizes.per_word;
  plan.group_words = ceil_div(plan.group_in, plan.per_word);
  plan.input_words = s.groups * plan.group_words;

  const bool is_depthwise = plan.group_in == 1 && plan.group_out == 1;
  const bool is_matrix = s.k_h == 1 && s.k_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                         s.pad_top == 0 && s.pad_bottom == 0 && s.pad_left == 0 && s.pad_right == 0;
  if (plan.algorithm == ConvAlgorithm::automatic) {
    plan.algorithm = is_depthwise && s.groups > 1 && sizes.depthwise_lanes > 0
                         ? ConvAlgorithm::depthwise
                     : is_narrow_groups(plan, sizes.grouped_lanes) ? ConvAlgorithm::grouped
                     : is_matrix                                   ? ConvAlgorithm::gemm
                                                                   : ConvAlgorithm::direct;
  }
  switch (plan.algorithm) {
    case ConvAlgorithm::depthwise:
      if (!is_depthwise) {
        throw UnsupportedError(
            "conv2d: algorithm depthwise takes one input and one output channel a group, not " +
            std::to_string(plan.group_in) + " and " + std::to_string(plan.group_out));
      }
      if (sizes.depthwise_lanes == 0) {
        throw UnsupportedError("conv2d: algorithm depthwise takes fp32 only");
      }
      plan_depthwise(plan, sizes.depthwise_lanes);
      break;
    case ConvAlgorithm::grouped:
      if (!is_narrow_groups(plan, sizes.grouped_lanes)) {
        throw UnsupportedError(
            "conv2d: algorithm grouped takes fp32, 2, 4 or 8 channels a group that do not fill a "
            "vector, k_w 3, stride_w 1 or 2 and dilation_w 1; use direct");
      }
      plan_grouped(plan, sizes.grouped_lanes);
      break;
    case ConvAlgorithm::winograd2:
    case ConvAlgorithm::winograd4:
      if (!sizes.winograd) throw UnsupportedError("conv2d: winograd takes fp32 only");
      if (s.k_h != 3 || s.k_w != 3 || s.stride_h != 1 || s.stride_w != 1 || s.dilation_h != 1 ||
          s.dilation_w != 1 || s.groups != 1) {
        throw UnsupportedError(
            "conv2d: algorithm " + std::string(to_string(plan.algorithm)) +
            " takes a 3x3 kernel with stride 1, dilation 1 and one group; use direct");
      }
      plan_winograd(plan, sizes.gemm);
      break;
    case ConvAlgorithm::gemm: plan_gemm(plan, sizes.gemm, is_matrix); break;
    case ConvAlgorithm::automatic:
    case ConvAlgorithm::direct: plan_direct(plan, sizes.direct); break;
  }
  if (plan.group_words * plan.per_word != plan.group_in) {
    plan.filled_size = checked_mul(s.batch * s.h_in * s.w_in, plan.input_words, "conv2d workspace");
  }
  plan.workspace_size = checked_add(plan.workspace_size, plan.filled_size, "conv2d workspace");
  checked_mul(plan.workspace_size, kWordBytes, "conv2d workspace bytes");
  checked_mul(plan.packed_size, kWordBytes, "conv2d packed bytes");
  return plan;
}

}  // namespace alphaflops
