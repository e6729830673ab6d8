// Convolution as a matrix product: of the input itself, or of patches copied to the workspace.
#include <algorithm>
#include <cstdint>

#include "conv_driver.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

// Copies the patches of `count` outputs from `first` on to rows of the workspace.
template <class Word>
void gather(const ConvPlan& plan, const Word* input, int64_t group, int64_t first, int64_t count,
            Word* workspace) {
  const Conv2dShape& s = plan.shape;
  const int64_t words = plan.group_words;
  // Taps of a row lie side by side in the input where they take all its channels.
  const bool joined = s.groups == 1 && s.dilation_w == 1;
  const int64_t run = joined ? s.k_w : 1;
  const int64_t column = s.dilation_w * plan.input_words;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t pixel = first + i;
    const int64_t x = pixel % plan.w_out;
    const int64_t y = pixel / plan.w_out % plan.h_out;
    const int64_t image = pixel / plan.w_out / plan.h_out;
    Word* row = workspace + i * plan.patch_stride;
    const Taps taps = taps_of(x, s.w_in, s.k_w, s.stride_w, s.pad_left, s.dilation_w);
    const int64_t in_x = x * s.stride_w - s.pad_left + taps.first * s.dilation_w;
    for (int64_t tap_y = 0; tap_y < s.k_h; ++tap_y) {
      const int64_t in_y = y * s.stride_h - s.pad_top + tap_y * s.dilation_h;
      Word* const next = row + s.k_w * words;
      if (in_y >= 0 && in_y < s.h_in && taps.first < taps.last) {
        const Word* from =
            input + ((image * s.h_in + in_y) * s.w_in + in_x) * plan.input_words + group * words;
        row = std::fill_n(row, taps.first * words, Word{});
        for (int64_t tap = taps.first; tap < taps.last; tap += run) {
          row = std::copy_n(from, (joined ? taps.last - taps.first : 1) * words, row);
          from += column;
        }
      }
      row = std::fill_n(row, next - row, Word{});
    }
  }
}

}  // namespace

template <class Word, class Acc>
void run_gemm(const ConvPlan& plan, const kernels::GemmTable<Word, Acc>& table,
              const ConvCall<Word, Acc>& call, const ConvPart& part) {
  constexpr Clamp<Acc> kOpen = Clamp<Acc>::none();
  const Conv2dShape& s = plan.shape;
  const int64_t lanes = plan.lanes;
  const int64_t rows = plan.taps() * plan.group_words;
  const bool gathers = plan.patch_pixels != 0;
  const int64_t step = gathers ? plan.patch_pixels : part.unit_last - part.unit_first;
  kernels::GemmArgs<Word, Acc> args{};
  args.a_pixel = gathers ? plan.patch_stride : plan.input_words;
  args.output_pixel = s.c_out;

  int64_t block = part.block_first;
  while (block < part.block_last) {
    const int64_t group = block / plan.group_blocks();
    const int64_t group_first = block;
    const int64_t group_last = std::min(part.block_last, (group + 1) * plan.group_blocks());
    const Word* weights = call.packed + group * plan.group_vectors * lanes * rows;
    for (int64_t pixel = part.unit_first; pixel < part.unit_last; pixel += step) {
      args.pixels = std::min(step, part.unit_last - pixel);
      const Word* matrix = call.input + pixel * plan.input_words + group * plan.group_words;
      if (gathers) {
        gather(plan, call.input, group, pixel, args.pixels, call.workspace);
        matrix = call.workspace;
      }
      for (block = group_first; block < group_last; ++block) {
        const int64_t vector = block % plan.group_blocks() * plan.vectors;
        const int64_t width = std::min(plan.vectors, plan.group_vectors - vector);
        const int64_t channel = group * plan.group_out + vector * lanes;
        args.last_lanes = std::min(lanes, plan.group_out - (vector + width - 1) * lanes);
        args.bias = call.bias == nullptr ? nullptr : call.bias + channel;
        args.output = call.output + pixel * s.c_out + channel;
        for (int64_t begin = 0; begin < rows; begin += plan.depth) {
          const bool last = begin + plan.depth >= rows;
          args.depth = std::min(plan.depth, rows - begin);
          args.a = matrix + begin;
          args.panel = weights + (vector * rows + begin * width) * lanes;
          args.accumulate = begin != 0;
          args.low = last ? call.clamp.low : kOpen.low;
          args.high = last ? call.clamp.high : kOpen.high;
          table.panel[width](&args);
        }
      }
    }
    block = group_last;
  }
}

#define AF_RUN_GEMM(Word, Acc)                                                  \
  template void run_gemm(const ConvPlan&, const kernels::GemmTable<Word, Acc>&, \
                         const ConvCall<Word, Acc>&, const ConvPart&)
AF_RUN_GEMM(float, float);
AF_RUN_GEMM(kernels::Bf16Word, float);
AF_RUN_GEMM(kernels::Int8Word, std::int32_t);

}  // namespace alphaflops
