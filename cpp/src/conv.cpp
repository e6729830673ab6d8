// Planning and driving of convolutions; the arithmetic is in the kernels.
//
// Weights are packed so that a kernel reads them in order: blocks of output channels as wide as a
// register tile, and within one [c_in block][k_h][k_w][c_in][lane].
#include "alphaflops/conv.hpp"

#include <algorithm>
#include <limits>
#include <string>
#include <tuple>
#include <utility>

#include "../kernels/dispatch.hpp"
#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

// Weights that stay in the second-level cache while the image goes past them, in floats.
constexpr int64_t kDirectPanel = 160 * 1024;
constexpr int64_t kGemmPanel = 64 * 1024;
constexpr int64_t kPatchFloats = 96 * 1024;
// Rows this many floats apart (4 KiB) share their cache sets.
constexpr int64_t kCollision = 1024;
constexpr int64_t kCollisionHeight = 7;

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

int64_t positive(int64_t value, const char* field) {
  if (value < 1) {
    throw ShapeError(std::string("conv2d: ") + field + " is " + std::to_string(value) +
                     "; it must be 1 or more");
  }
  return value;
}

int64_t not_negative(int64_t value, const char* field) {
  if (value < 0) {
    throw ShapeError(std::string("conv2d: ") + field + " is " + std::to_string(value) +
                     "; it must be 0 or more");
  }
  return value;
}

int64_t output_size(int64_t in, int64_t kernel, int64_t stride, int64_t before, int64_t after,
                    int64_t dilation, const char* axis) {
  const std::string suffix = std::string("_") + axis;
  positive(in, (axis + std::string("_in")).c_str());
  positive(kernel, ("k" + suffix).c_str());
  positive(stride, ("stride" + suffix).c_str());
  positive(dilation, ("dilation" + suffix).c_str());
  not_negative(before, *axis == 'h' ? "pad_top" : "pad_left");
  not_negative(after, *axis == 'h' ? "pad_bottom" : "pad_right");
  const int64_t padded =
      checked_add(checked_add(in, before, "conv2d padded size"), after, "conv2d padded size");
  const int64_t extent = checked_add(checked_mul(kernel - 1, dilation, "conv2d kernel extent"), 1,
                                     "conv2d kernel extent");
  if (extent > padded) {
    throw ShapeError("conv2d: k" + suffix + " " + std::to_string(kernel) + " with dilation " +
                     std::to_string(dilation) + " spans " + std::to_string(extent) +
                     ", more than the padded input of " + std::to_string(padded));
  }
  return (padded - extent) / stride + 1;
}

// The kernel taps along one axis that reach input from output position `out`: [first, last).
struct Taps {
  int64_t first, last;
};

Taps taps_of(int64_t out, int64_t in, int64_t kernel, int64_t stride, int64_t before,
             int64_t dilation) {
  const int64_t origin = out * stride - before;
  const int64_t first = origin < 0 ? ceil_div(-origin, dilation) : 0;
  const int64_t last = origin < in ? std::min(kernel, (in - 1 - origin) / dilation + 1) : 0;
  return {first, std::max(first, last)};
}

// The tile width, in vectors, that takes the fewest steps an output for rows of `pixels`. A step of
// a tile is bound by its multiply-adds (two a cycle), by its loads (two a cycle), or by their
// latency (eight in flight); a short row may leave too few for that.
int direct_width(const kernels::ConvDirectTable& table, int64_t pixels) {
  const auto cost = [&](int64_t width) {
    const int64_t tiles = ceil_div(pixels, table.pixels[width]);
    const auto step = [&](int64_t height) {
      return std::max({height * width, height + width, int64_t{8}});
    };
    const int64_t height = pixels / tiles;
    const int64_t taller = pixels % tiles;
    const int64_t steps = taller * step(height + 1) + (tiles - taller) * step(height);
    return static_cast<double>(steps) / static_cast<double>(width);
  };
  int best = table.vectors;
  for (int width = 1; width <= kernels::kMaxVectors; ++width) {
    if (table.pixels[width] != 0 && cost(width) < 0.97 * cost(best)) best = width;
  }
  return best;
}

}  // namespace

std::string_view to_string(ConvAlgorithm algorithm) {
  switch (algorithm) {
    case ConvAlgorithm::automatic: return "automatic";
    case ConvAlgorithm::direct: return "direct";
    case ConvAlgorithm::gemm: return "gemm";
    case ConvAlgorithm::depthwise: return "depthwise";
  }
  return "unknown";
}

int64_t Conv2dShape::h_out() const {
  return output_size(h_in, k_h, stride_h, pad_top, pad_bottom, dilation_h, "h");
}

int64_t Conv2dShape::w_out() const {
  return output_size(w_in, k_w, stride_w, pad_left, pad_right, dilation_w, "w");
}

int64_t Conv2dShape::macs() const {
  positive(batch, "batch");
  positive(c_in, "c_in");
  positive(c_out, "c_out");
  positive(groups, "groups");
  for (const auto& [channels, field] : {std::pair{c_in, "c_in"}, std::pair{c_out, "c_out"}}) {
    if (channels % groups != 0) {
      throw ShapeError("conv2d: groups " + std::to_string(groups) + " does not divide " + field +
                       " " + std::to_string(channels));
    }
  }
  int64_t macs = checked_mul(batch, h_out(), "conv2d macs");
  for (int64_t factor : {w_out(), c_out, c_in / groups, k_h, k_w}) {
    macs = checked_mul(macs, factor, "conv2d macs");
  }
  return macs;
}

Conv2d::Conv2d(const Conv2dShape& shape, Isa isa, ConvAlgorithm algorithm)
    : shape_(shape), isa_(isa), algorithm_(algorithm), kernels_(&kernels::table(isa)) {
  const Conv2dShape& s = shape_;
  s.macs();
  h_out_ = s.h_out();
  w_out_ = s.w_out();
  for (const auto& [pixels_h, pixels_w, channels] :
       {std::tuple{s.h_in, s.w_in, s.c_in}, std::tuple{h_out_, w_out_, s.c_out}}) {
    int64_t bytes = checked_mul(s.batch, pixels_h, "conv2d tensor bytes");
    for (int64_t factor : {pixels_w, channels, int64_t{sizeof(float)}}) {
      bytes = checked_mul(bytes, factor, "conv2d tensor bytes");
    }
  }
  group_in_ = s.c_in / s.groups;
  group_out_ = s.c_out / s.groups;

  const bool is_depthwise = group_in_ == 1 && group_out_ == 1;
  const bool is_matrix = s.k_h == 1 && s.k_w == 1 && s.stride_h == 1 && s.stride_w == 1 &&
                         s.pad_top == 0 && s.pad_bottom == 0 && s.pad_left == 0 && s.pad_right == 0;
  if (algorithm_ == ConvAlgorithm::automatic) {
    algorithm_ = is_depthwise && s.groups > 1 ? ConvAlgorithm::depthwise
                 : is_matrix                  ? ConvAlgorithm::gemm
                                              : ConvAlgorithm::direct;
  }
  if (algorithm_ == ConvAlgorithm::depthwise && !is_depthwise) {
    throw UnsupportedError(
        "conv2d: algorithm depthwise takes one input and one output channel a group, not " +
        std::to_string(group_in_) + " and " + std::to_string(group_out_));
  }

  switch (algorithm_) {
    case ConvAlgorithm::depthwise: {
      lanes_ = kernels_->depthwise->lanes;
      group_vectors_ = ceil_div(s.c_in, lanes_);
      // One row more than the weights: the zeros that border tiles read where the input is padded.
      const int64_t taps =
          checked_add(checked_mul(s.k_h, s.k_w, "conv2d weights"), 1, "conv2d weights");
      packed_size_ = checked_mul(taps, group_vectors_ * lanes_, "conv2d weights");
      break;
    }
    case ConvAlgorithm::gemm:
      plan_blocks(kernels_->gemm->lanes, kernels_->gemm->vectors);
      plan_gemm(is_matrix);
      break;
    case ConvAlgorithm::automatic:
    case ConvAlgorithm::direct:
      plan_blocks(kernels_->direct->lanes, direct_width(*kernels_->direct, w_out_));
      plan_direct();
      break;
  }
  checked_mul(packed_size_, sizeof(float), "conv2d packed bytes");
}

// Blocks of output channels of nearly equal width, none wider than `preferred` vectors.
void Conv2d::plan_blocks(int lanes, int preferred) {
  lanes_ = lanes;
  group_vectors_ = ceil_div(group_out_, lanes_);
  vectors_ = ceil_div(group_vectors_, ceil_div(group_vectors_, preferred));
  packed_size_ = checked_mul(shape_.groups, group_vectors_ * lanes_, "conv2d weights");
  for (int64_t factor : {shape_.k_h, shape_.k_w, group_in_}) {
    packed_size_ = checked_mul(packed_size_, factor, "conv2d weights");
  }
}

void Conv2d::plan_direct() {
  const Conv2dShape& s = shape_;
  const int64_t panel = s.k_h * s.k_w * group_in_ * vectors_ * lanes_;
  depth_ = ceil_div(group_in_, ceil_div(panel, kDirectPanel));

  int64_t height = kernels_->direct->pixels[vectors_];
  if (s.stride_w * s.c_in % kCollision == 0) height = std::min(height, kCollisionHeight);
  plan_row(height);
}

// Cuts a row of outputs into tiles, and a tile where padding shortens it into segments: kernel
// columns that reach input from the same pixels. Padded taps are then never computed.
void Conv2d::plan_row(int64_t height) {
  const Conv2dShape& s = shape_;
  const int64_t tiles = ceil_div(w_out_, height);
  int64_t begin = 0;
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t pixels = w_out_ / tiles + (tile < w_out_ % tiles ? 1 : 0);
    const int64_t end = begin + pixels;
    std::vector<Segment> segments;
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
                                    [&](const Segment& each) { return each.pixels == pixels; });
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
      segments.insert(segments.begin(), Segment{begin, pixels, 0, 0, true, false});
      segments.back().closes = true;
    }
    row_.insert(row_.end(), segments.begin(), segments.end());
    begin = end;
  }
}

void Conv2d::plan_gemm(bool is_matrix) {
  const Conv2dShape& s = shape_;
  const int64_t pixels = s.batch * h_out_ * w_out_;
  const int64_t rows = s.k_h * s.k_w * group_in_;
  const int64_t height = kernels_->gemm->pixels[vectors_];
  // Where one tile takes all pixels, weights are read once and blocking them would gain nothing.
  depth_ = pixels <= height ? rows : ceil_div(rows, ceil_div(rows * vectors_ * lanes_, kGemmPanel));
  if (is_matrix) return;
  patch_stride_ = rows % kCollision == 0 ? rows + 16 : rows;
  patch_pixels_ =
      std::min(pixels, std::max<int64_t>(1, kPatchFloats / patch_stride_ / height) * height);
  workspace_size_ = checked_mul(patch_pixels_, patch_stride_, "conv2d workspace");
  checked_mul(workspace_size_, sizeof(float), "conv2d workspace bytes");
}

void Conv2d::pack(const float* weights, float* packed) const {
  const Conv2dShape& s = shape_;
  const int64_t taps = s.k_h * s.k_w;
  if (algorithm_ == ConvAlgorithm::depthwise) {
    const int64_t width = group_vectors_ * lanes_;
    std::fill(packed, packed + packed_size_, 0.0f);
    for (int64_t c = 0; c < s.c_in; ++c) {
      for (int64_t tap = 0; tap < taps; ++tap) packed[tap * width + c] = weights[c * taps + tap];
    }
    return;
  }
  const int64_t depth = algorithm_ == ConvAlgorithm::direct ? depth_ : group_in_;
  for (int64_t group = 0; group < s.groups; ++group) {
    for (int64_t vector = 0; vector < group_vectors_; vector += vectors_) {
      const int64_t width = std::min(vectors_, group_vectors_ - vector) * lanes_;
      const int64_t lanes = std::min(width, group_out_ - vector * lanes_);
      const float* block = weights + (group * group_out_ + vector * lanes_) * group_in_ * taps;
      for (int64_t begin = 0; begin < group_in_; begin += depth) {
        const int64_t end = std::min(group_in_, begin + depth);
        for (int64_t tap = 0; tap < taps; ++tap) {
          for (int64_t c = begin; c < end; ++c) {
            for (int64_t lane = 0; lane < lanes; ++lane)
              packed[lane] = block[(lane * group_in_ + c) * taps + tap];
            std::fill(packed + lanes, packed + width, 0.0f);
            packed += width;
          }
        }
      }
    }
  }
}

void Conv2d::run(const float* input, const float* packed, const float* bias, float* output,
                 float* workspace, Activation activation) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  Clamp clamp{-kInfinity, kInfinity};
  switch (activation) {
    case Activation::none: break;
    case Activation::relu: clamp = {0.0f, kInfinity}; break;
    case Activation::relu6: clamp = {0.0f, 6.0f}; break;
    default:
      throw UnsupportedError("conv2d: activation " + std::string(to_string(activation)) +
                             " is none of none, relu, relu6; apply it afterwards with activate");
  }
  switch (algorithm_) {
    case ConvAlgorithm::depthwise: run_depthwise(input, packed, bias, output, clamp); break;
    case ConvAlgorithm::gemm: run_gemm(input, packed, bias, output, workspace, clamp); break;
    case ConvAlgorithm::automatic:
    case ConvAlgorithm::direct: run_direct(input, packed, bias, output, clamp); break;
  }
}

void Conv2d::run_direct(const float* input, const float* packed, const float* bias, float* output,
                        Clamp clamp) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Conv2dShape& s = shape_;
  // Taps of a row lie side by side in the input where they take all its channels.
  const bool joined = s.groups == 1 && s.dilation_w == 1 && depth_ == group_in_;
  kernels::ConvTileArgs args{};
  args.input_pixel = s.stride_w * s.c_in;
  args.input_column = s.dilation_w * s.c_in;
  args.input_row = s.dilation_h * s.w_in * s.c_in;
  args.output_pixel = s.c_out;

  for (int64_t group = 0; group < s.groups; ++group) {
    for (int64_t vector = 0; vector < group_vectors_; vector += vectors_) {
      const int64_t width = std::min(vectors_, group_vectors_ - vector);
      const auto& tiles = kernels_->direct->tile[width];
      const int64_t channel = group * group_out_ + vector * lanes_;
      args.last_lanes = std::min(lanes_, group_out_ - (vector + width - 1) * lanes_);
      args.bias = bias == nullptr ? nullptr : bias + channel;
      for (int64_t begin = 0; begin < group_in_; begin += depth_) {
        const int64_t depth = std::min(depth_, group_in_ - begin);
        const bool first_block = begin == 0;
        const bool last_block = begin + depth == group_in_;
        args.weight_column = depth * width * lanes_;
        args.weight_row = s.k_w * args.weight_column;
        for (int64_t image = 0; image < s.batch; ++image) {
          for (int64_t y = 0; y < h_out_; ++y) {
            const Taps taps = taps_of(y, s.h_in, s.k_h, s.stride_h, s.pad_top, s.dilation_h);
            args.rows = taps.last - taps.first;
            const int64_t in_row = y * s.stride_h - s.pad_top + taps.first * s.dilation_h;
            const int64_t in_offset =
                (image * s.h_in + in_row) * s.w_in * s.c_in + group * group_in_ + begin;
            float* out_row = output + (image * h_out_ + y) * w_out_ * s.c_out + channel;
            for (const Segment& segment : row_) {
              const bool opens = segment.opens && first_block;
              const bool closes = segment.closes && last_block;
              if (segment.columns == 0 && !opens && !closes) continue;
              const bool empty = segment.columns == 0 || args.rows == 0;
              const int64_t in_column =
                  segment.pixel * s.stride_w - s.pad_left + segment.column * s.dilation_w;
              kernels::ConvTileArgs tile = args;
              tile.rows = empty ? 0 : args.rows;
              tile.columns = joined ? 1 : segment.columns;
              tile.run = joined ? segment.columns * depth : depth;
              tile.input = empty ? input : input + in_offset + in_column * s.c_in;
              tile.weights =
                  packed + taps.first * args.weight_row + segment.column * args.weight_column;
              tile.output = out_row + segment.pixel * s.c_out;
              tile.accumulate = !opens;
              tile.low = closes ? clamp.low : -kInfinity;
              tile.high = closes ? clamp.high : kInfinity;
              tiles[segment.pixels](&tile);
            }
          }
        }
        packed += s.k_h * args.weight_row;
      }
    }
  }
}

void Conv2d::run_gemm(const float* input, const float* packed, const float* bias, float* output,
                      float* workspace, Clamp clamp) const {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const Conv2dShape& s = shape_;
  const int64_t rows = s.k_h * s.k_w * group_in_;
  const int64_t pixels = s.batch * h_out_ * w_out_;
  const int64_t step = patch_pixels_ == 0 ? pixels : patch_pixels_;
  kernels::GemmArgs args{};
  args.a_pixel = patch_pixels_ == 0 ? s.c_in : patch_stride_;
  args.output_pixel = s.c_out;

  for (int64_t group = 0; group < s.groups; ++group) {
    const float* weights = packed + group * group_vectors_ * lanes_ * rows;
    for (int64_t pixel = 0; pixel < pixels; pixel += step) {
      args.pixels = std::min(step, pixels - pixel);
      const float* matrix = input + pixel * s.c_in + group * group_in_;
      if (patch_pixels_ != 0) {
        gather(input, group, pixel, args.pixels, workspace);
        matrix = workspace;
      }
      for (int64_t vector = 0; vector < group_vectors_; vector += vectors_) {
        const int64_t width = std::min(vectors_, group_vectors_ - vector);
        const int64_t channel = group * group_out_ + vector * lanes_;
        args.last_lanes = std::min(lanes_, group_out_ - (vector + width - 1) * lanes_);
        args.bias = bias == nullptr ? nullptr : bias + channel;
        args.output = output + pixel * s.c_out + channel;
        for (int64_t begin = 0; begin < rows; begin += depth_) {
          const bool last = begin + depth_ >= rows;
          args.depth = std::min(depth_, rows - begin);
          args.a = matrix + begin;
          args.panel = weights + (vector * rows + begin * width) * lanes_;
          args.accumulate = begin != 0;
          args.low = last ? clamp.low : -kInfinity;
          args.high = last ? clamp.high : kInfinity;
          kernels_->gemm->panel[width](&args);
        }
      }
    }
  }
}

// Copies the patches of `count` outputs from `first` on to rows of the workspace.
void Conv2d::gather(const float* input, int64_t group, int64_t first, int64_t count,
                    float* workspace) const {
  const Conv2dShape& s = shape_;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t pixel = first + i;
    const int64_t x = pixel % w_out_;
    const int64_t y = pixel / w_out_ % h_out_;
    const int64_t image = pixel / w_out_ / h_out_;
    float* row = workspace + i * patch_stride_;
    for (int64_t tap_y = 0; tap_y < s.k_h; ++tap_y) {
      const int64_t in_y = y * s.stride_h - s.pad_top + tap_y * s.dilation_h;
      for (int64_t tap_x = 0; tap_x < s.k_w; ++tap_x) {
        const int64_t in_x = x * s.stride_w - s.pad_left + tap_x * s.dilation_w;
        if (in_y < 0 || in_y >= s.h_in || in_x < 0 || in_x >= s.w_in) {
          std::fill_n(row, group_in_, 0.0f);
        } else {
          const float* from =
              input + ((image * s.h_in + in_y) * s.w_in + in_x) * s.c_in + group * group_in_;
          std::copy_n(from, group_in_, row);
        }
        row += group_in_;
      }
    }
  }
}

void Conv2d::run_depthwise(const float* input, const float* packed, const float* bias,
                           float* output, Clamp clamp) const {
  constexpr int64_t kMaxRows = 8;
  constexpr int64_t kMaxColumns = (kernels::kDepthwisePixels - 1) * kernels::kDepthwiseStrides + 7;
  const Conv2dShape& s = shape_;
  const kernels::DepthwiseTable& table = *kernels_->depthwise;
  const bool tiled = (s.k_w == 3 || s.k_w == 5 || s.k_w == 7) && s.k_h <= kMaxRows &&
                     s.stride_w <= kernels::kDepthwiseStrides && s.dilation_w == 1;
  const int64_t width = group_vectors_ * lanes_;
  const float* zeros = packed + s.k_h * s.k_w * width;
  const float* columns[kMaxRows * kMaxColumns];

  kernels::DepthwiseArgs args{};
  args.columns = columns;
  args.input_row = s.dilation_h * s.w_in * s.c_in;
  args.input_pixel = tiled ? s.c_in : s.dilation_w * s.c_in;
  args.weight_column = width;
  args.weight_row = s.k_w * width;
  args.bias = bias;
  args.channels = s.c_in;
  args.low = clamp.low;
  args.high = clamp.high;

  const int64_t tiles = ceil_div(w_out_, tiled ? int64_t{kernels::kDepthwisePixels} : int64_t{1});
  for (int64_t image = 0; image < s.batch; ++image) {
    for (int64_t y = 0; y < h_out_; ++y) {
      const Taps rows = taps_of(y, s.h_in, s.k_h, s.stride_h, s.pad_top, s.dilation_h);
      const int64_t in_y = y * s.stride_h - s.pad_top + rows.first * s.dilation_h;
      const int64_t in_row = (image * s.h_in + in_y) * s.w_in;
      args.rows = rows.last - rows.first;
      args.output = output + (image * h_out_ + y) * w_out_ * s.c_out;
      int64_t x = 0;
      for (int64_t tile = 0; tile < tiles; ++tile) {
        const int64_t pixels = w_out_ / tiles + (tile < w_out_ % tiles ? 1 : 0);
        const int64_t in_x = x * s.stride_w - s.pad_left;
        args.weights = packed + rows.first * args.weight_row;
        if (!tiled) {
          const Taps taps = taps_of(x, s.w_in, s.k_w, s.stride_w, s.pad_left, s.dilation_w);
          args.taps = taps.last - taps.first;
          if (args.taps == 0 || args.rows == 0) {
            args.taps = 0;
            args.input = input;
          } else {
            args.input = input + (in_row + in_x + taps.first * s.dilation_w) * s.c_in;
            args.weights += taps.first * width;
          }
          table.single(&args);
        } else {
          const int64_t span = (pixels - 1) * s.stride_w + s.k_w;
          const int64_t shape = (s.k_w - 3) / 2;
          if (in_x >= 0 && in_x + span <= s.w_in && args.rows > 0) {
            args.input = input + (in_row + in_x) * s.c_in;
            table.interior[shape][s.stride_w - 1][pixels](&args);
          } else {
            const float** each = columns;
            for (int64_t row = 0; row < args.rows; ++row) {
              for (int64_t column = in_x; column < in_x + span; ++column) {
                *each++ = column < 0 || column >= s.w_in
                              ? zeros
                              : input + (in_row + row * s.dilation_h * s.w_in + column) * s.c_in;
              }
            }
            args.input = input;
            table.border[shape][s.stride_w - 1][pixels](&args);
          }
        }
        args.output += pixels * s.c_out;
        x += pixels;
      }
    }
  }
}

}  // namespace alphaflops
