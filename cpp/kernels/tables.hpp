// What every instruction set's translation units export: plain structs of function pointers.
//
// Built-in types only. A kernel translation unit is compiled for an instruction set the machine may
// lack, so nothing with external linkage may be shared with it: were an inline function emitted
// there, the linker could pick that copy for the whole program.
#pragma once

#include <cstdint>

namespace alphaflops::kernels {

inline constexpr int kMaxVectors = 4;   // widest register tile, in vectors of output channels
inline constexpr int kMaxPixels = 14;   // tallest register tile, in output pixels
inline constexpr int kActivations = 9;  // enumerators of Activation

// What a matrix kernel takes of a pixel at once: four bytes, which are one fp32 (then simply a
// float), two bf16 or four unsigned 8-bit channels. It has the alignment of its smallest content.
struct Bf16Word {
  unsigned char bytes[4];
};
struct Int8Word {
  unsigned char bytes[4];
};

struct TileSizes {
  int lanes;                    // outputs in a vector
  int vectors;                  // preferred tile width
  int pixels[kMaxVectors + 1];  // tallest tile at each width, 0 where there is none
};

// One register tile of a direct convolution: `pixels` x `vectors` outputs, over rows x columns
// taps. Input and weight strides count words, output strides outputs. output = clamp(start + sum of
// input * weight, low, high), where start is the output's own content (accumulate) or the bias
// (zeros where it is null).
template <class Word, class Acc>
struct ConvTileArgs {
  const Word* input;
  const Word* weights;
  const Acc* bias;
  Acc* output;
  std::int64_t rows, columns, run;  // taps, and the contiguous input words of one of them
  std::int64_t input_row, input_column, input_pixel;
  std::int64_t weight_row, weight_column;
  std::int64_t output_pixel;
  std::int64_t last_lanes;  // lanes of the last vector that exist, 1..lanes
  Acc low, high;
  bool accumulate;
};

template <class Word, class Acc>
struct ConvDirectTable {
  TileSizes sizes;
  void (*tile[kMaxVectors + 1][kMaxPixels + 1])(const ConvTileArgs<Word, Acc>*);
};

// output[pixel][lane] = clamp(start + sum over k of a[pixel][k] * panel[k][lane]), panel-packed.
template <class Word, class Acc>
struct GemmArgs {
  const Word* a;
  const Word* panel;
  const Acc* bias;
  Acc* output;
  std::int64_t pixels, depth;
  std::int64_t a_pixel, output_pixel;
  std::int64_t last_lanes;
  Acc low, high;
  bool accumulate;
};

template <class Word, class Acc>
struct GemmTable {
  TileSizes sizes;
  void (*panel[kMaxVectors + 1])(const GemmArgs<Word, Acc>*);  // [vectors]
};

// `pixels` outputs of one row of a depthwise convolution, all channels.
struct DepthwiseArgs {
  const float* const* columns;  // border tiles: [rows][columns] pixels, zeros where padded
  const float* input;           // interior tiles: the first of them
  const float* weights;         // [k_h][k_w][weight_column]
  const float* bias;
  float* output;
  std::int64_t rows, taps;  // taps: of a row; only `single` reads it
  std::int64_t input_row, input_pixel;
  std::int64_t weight_row, weight_column;
  std::int64_t channels;
  float low, high;
};
using Depthwise = void (*)(const DepthwiseArgs*);

inline constexpr int kDepthwisePixels = 7;
inline constexpr int kDepthwiseStrides = 2;
inline constexpr int kDepthwiseWidths = 3;  // k_w 3, 5, 7

struct DepthwiseTable {
  int lanes;
  Depthwise interior[kDepthwiseWidths][kDepthwiseStrides][kDepthwisePixels + 1];
  Depthwise border[kDepthwiseWidths][kDepthwiseStrides][kDepthwisePixels + 1];
  Depthwise single;  // one pixel, any kernel; input_pixel is then the distance between taps
};

inline constexpr int kGroupSizes = 3;  // channels a group 2, 4, 8

// Tiles read their input through `columns` only; weight_column is the distance between vectors of
// channels. Null where a group fills a vector.
struct GroupedTable {
  int lanes;
  Depthwise tile[kGroupSizes][kDepthwiseStrides][kDepthwisePixels + 1];
};

// Points of F(4x4, 3x3). Their powers up to the fourth are exact, and the error is a third of what
// +-1 and +-2 give.
inline constexpr float kWinogradA = 0.625f;
inline constexpr float kWinogradB = 1.5f;

// B^T d B of one tile; position (i, j) goes to tiles + (i * (M + 2) + j) * position. Writes whole
// vectors.
struct WinogradInput {
  const float* input;  // where the patch begins, which may be in the padding
  float* tiles;
  std::int64_t input_row, input_pixel, position;
  std::int64_t row_first, row_last, column_first, column_last;  // of the patch, not padding
  std::int64_t channels;
};

// clamp(A^T m A + bias) of one tile; reads whole vectors.
struct WinogradOutput {
  const float* tiles;
  const float* bias;
  float* output;
  std::int64_t position, output_row, output_pixel;
  std::int64_t rows, columns;  // of the tile that exist
  std::int64_t channels;
  float low, high;
};

struct WinogradTable {  // [M == 4]
  void (*input[2])(const WinogradInput*);
  void (*output[2])(const WinogradOutput*);
};

struct PoolArgs {
  const float* input;  // first pixel of the window that exists
  float* output;
  std::int64_t rows, columns, row, column, channels;
  float scale;  // 1 / divisor of an average
};

struct StreamTable {
  void (*activate[kActivations])(const float* x, float* y, std::int64_t n);
  void (*add[kActivations])(const float* a, const float* b, float* y, std::int64_t n);
  void (*multiply[kActivations])(const float* a, const float* b, float* y, std::int64_t n);
  void (*scale_shift[kActivations])(const float* x, const float* scale, const float* shift,
                                    float* y, std::int64_t pixels, std::int64_t channels);
  void (*multiply_channels)(const float* x, const float* s, float* y, std::int64_t pixels,
                            std::int64_t channels);
  void (*pool_max)(const PoolArgs*);
  void (*pool_average)(const PoolArgs*);
  void (*copy_channels)(const float* x, float* y, std::int64_t pixels, std::int64_t channels,
                        std::int64_t y_stride);
  void (*softmax)(const float* x, float* y, std::int64_t columns);
};

// y[column * y_row + row] = x[row * x_row + column]
struct TransposeArgs {
  const float* x;
  float* y;
  std::int64_t rows, columns;  // of x
  std::int64_t x_row, y_row;   // from one row to the next
};
struct TransposeTable {
  void (*run)(const TransposeArgs*);
};

struct ProbeTable {
  int lanes;
  double (*peak_fma)(std::int64_t iterations, float* sink);  // flops done; sink[0] = 0 on entry
  double (*sum)(const float* x, std::int64_t n);
  void (*fill)(float* y, float value, std::int64_t n);
  void (*triad)(float* a, const float* b, const float* c, float s, std::int64_t n);
};

// Of bf16 or int8.
template <class Word, class Acc>
struct NarrowTable {
  ConvDirectTable<Word, Acc> direct;
  GemmTable<Word, Acc> gemm;
  double (*peak)(std::int64_t iterations, Acc* sink);  // operations done; sink[0] = 0 on entry
};

struct KernelTable {
  const ConvDirectTable<float, float>* direct;
  const GemmTable<float, float>* gemm;
  const DepthwiseTable* depthwise;
  const GroupedTable* grouped;  // may be null
  const WinogradTable* winograd;
  const StreamTable* stream;
  const TransposeTable* transpose;
  const ProbeTable* probe;
};

extern const ConvDirectTable<float, float> conv_direct_scalar, conv_direct_neon, conv_direct_avx2,
    conv_direct_avx512;
extern const GemmTable<float, float> gemm_scalar, gemm_neon, gemm_avx2, gemm_avx512;
extern const DepthwiseTable conv_depthwise_scalar, conv_depthwise_neon, conv_depthwise_avx2,
    conv_depthwise_avx512;
extern const NarrowTable<Bf16Word, float> conv_bf16_scalar, conv_bf16_avx512;
extern const NarrowTable<Int8Word, std::int32_t> conv_int8_scalar, conv_int8_avx512;
extern const GroupedTable conv_grouped_neon, conv_grouped_avx2, conv_grouped_avx512;
extern const WinogradTable winograd_scalar, winograd_neon, winograd_avx2, winograd_avx512;
extern const StreamTable stream_scalar, stream_neon, stream_avx2, stream_avx512;
extern const TransposeTable transpose_scalar, transpose_neon, transpose_avx2, transpose_avx512;
extern const ProbeTable probe_scalar, probe_neon, probe_avx2, probe_avx512;

}  // namespace alphaflops::kernels
