// Direct convolution: register tiles straight on the input, a row of outputs at a time.
#include <algorithm>
#include <cstdint>

#include "conv_driver.hpp"

namespace alphaflops {

using std::int64_t;

template <class Word, class Acc>
void run_direct(const ConvPlan& plan, const kernels::ConvDirectTable<Word, Acc>& table,
                const ConvCall<Word, Acc>& call, const ConvPart& part) {
  constexpr Clamp<Acc> kOpen = Clamp<Acc>::none();
  const Conv2dShape& s = plan.shape;
  const int64_t lanes = plan.lanes;
  // Taps of a row lie side by side in the input where they take all its channels.
  const bool joined = s.groups == 1 && s.dilation_w == 1 && plan.depth == plan.group_words;
  kernels::ConvTileArgs<Word, Acc> args{};
  args.input_pixel = s.stride_w * plan.input_words;
  args.input_column = s.dilation_w * plan.input_words;
  args.input_row = s.dilation_h * s.w_in * plan.input_words;
  args.output_pixel = s.c_out;

  for (int64_t block = part.block_first; block < part.block_last; ++block) {
    const int64_t group = block / plan.group_blocks();
    const int64_t vector = block % plan.group_blocks() * plan.vectors;
    const int64_t width = std::min(plan.vectors, plan.group_vectors - vector);
    const auto& tiles = table.tile[width];
    const int64_t channel = group * plan.group_out + vector * lanes;
    const Word* packed = call.packed + (group * plan.group_vectors + vector) * lanes * plan.taps() *
                                           plan.group_words;
    args.last_lanes = std::min(lanes, plan.group_out - (vector + width - 1) * lanes);
    args.bias = call.bias == nullptr ? nullptr : call.bias + channel;
    for (int64_t begin = 0; begin < plan.group_words; begin += plan.depth) {
      const int64_t depth = std::min(plan.depth, plan.group_words - begin);
      const bool first_block = begin == 0;
      const bool last_block = begin + depth == plan.group_words;
      args.weight_column = depth * width * lanes;
      args.weight_row = s.k_w * args.weight_column;
      for (int64_t row = part.unit_first; row < part.unit_last; ++row) {
        const int64_t image = row / plan.h_out;
        const int64_t y = row % plan.h_out;
        const Taps taps = taps_of(y, s.h_in, s.k_h, s.stride_h, s.pad_top, s.dilation_h);
        args.rows = taps.last - taps.first;
        const int64_t in_row = y * s.stride_h - s.pad_top + taps.first * s.dilation_h;
        const int64_t in_offset = (image * s.h_in + in_row) * s.w_in * plan.input_words +
                                  group * plan.group_words + begin;
        Acc* out_row = call.output + row * plan.w_out * s.c_out + channel;
        for (const ConvSegment& segment : plan.row) {
          const bool opens = segment.opens && first_block;
          const bool closes = segment.closes && last_block;
          if (segment.columns == 0 && !opens && !closes) continue;
          const bool empty = segment.columns == 0 || args.rows == 0;
          const int64_t in_column =
              segment.pixel * s.stride_w - s.pad_left + segment.column * s.dilation_w;
          kernels::ConvTileArgs<Word, Acc> tile = args;
          tile.rows = empty ? 0 : args.rows;
          tile.columns = joined ? 1 : segment.columns;
          tile.run = joined ? segment.columns * depth : depth;
          tile.input = empty ? call.input : call.input + in_offset + in_column * plan.input_words;
          tile.weights =
              packed + taps.first * args.weight_row + segment.column * args.weight_column;
          tile.output = out_row + segment.pixel * s.c_out;
          tile.accumulate = !opens;
          tile.low = closes ? call.clamp.low : kOpen.low;
          tile.high = closes ? call.clamp.high : kOpen.high;
          tiles[segment.pixels](&tile);
        }
      }
      packed += s.k_h * args.weight_row;
    }
  }
}

#define AF_RUN_DIRECT(Word, Acc)                                                        \
  template void run_direct(const ConvPlan&, const kernels::ConvDirectTable<Word, Acc>&, \
                           const ConvCall<Word, Acc>&, const ConvPart&)
AF_RUN_DIRECT(float, float);
AF_RUN_DIRECT(kernels::Bf16Word, float);
AF_RUN_DIRECT(kernels::Int8Word, std::int32_t);

}  // namespace alphaflops
