// Layer norm, RMS norm and softmax of each row of [rows][columns].
//
// A warp or a block has a row. Where the row fits, it stays in registers from the first pass on;
// else each pass reads it again.
#pragma once

#include "device.cuh"
#include "stream_params.cuh"

namespace alphaflops::cuda {

enum class Rows { layer_norm, rms_norm, softmax, masked_softmax };

struct Add {
  static AF_DEVICE float of(float a, float b) { return a + b; }
};
struct Larger {
  static AF_DEVICE float of(float a, float b) { return a >= b ? a : b; }
};

// Over the `lanes` threads of a row: all of them have the result.
template <int lanes, class Combine>
AF_DEVICE float reduce(float value) {
  AF_UNROLL
  for (int bits = 16; bits > 0; bits /= 2) {
    value = Combine::of(value, __shfl_xor_sync(0xffffffffu, value, bits));
  }
  if constexpr (lanes > 32) {
    float* warps = static_cast<float*>(af_dynamic_shared());
    __syncthreads();  // the last reduction's have been read
    if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = warps[0];
    AF_UNROLL
    for (int i = 1; i < lanes / 32; ++i) value = Combine::of(value, warps[i]);
  }
  return value;
}

// The part of a row that a thread has: `kept` packs in registers, or none and it reads them again.
template <class T, int width, int lanes, int kept>
class RowPart {
 public:
  AF_DEVICE RowPart(const T* row, int columns) : row_(row), packs_(columns / width) {
    AF_UNROLL
    for (int i = 0; i < kept; ++i) {
      const int pack = first() + i * lanes;
      if (pack < packs_) kept_[i] = load<T, width>(row_ + pack * width);
    }
  }

  // f(pack, its first column) for each.
  template <class F>
  AF_DEVICE void each(F f) const {
    if constexpr (kept > 0) {
      AF_UNROLL
      for (int i = 0; i < kept; ++i) {
        const int pack = first() + i * lanes;
        if (pack < packs_) f(kept_[i], pack * width);
      }
    } else {
      for (int pack = first(); pack < packs_; pack += lanes) {
        f(load<T, width>(row_ + pack * width), pack * width);
      }
    }
  }

 private:
  static AF_DEVICE int first() { return static_cast<int>(threadIdx.x) % lanes; }

  const T* row_;
  int packs_;
  Pack<T, width> kept_[kept > 0 ? kept : 1];
};

// Columns that a row's softmax is over.
AF_DEVICE int counted_columns(const RowParams& p, int row) {
  if (p.first_columns == 0) return p.columns;
  unsigned of_length = static_cast<unsigned>(row);
  divide_keep(of_length, p.by_length);
  const int counted = p.first_columns + static_cast<int>(of_length);
  return counted < p.columns ? counted : p.columns;
}

// Where lies what is added to a row before its softmax.
template <class T>
AF_DEVICE const T* mask_of(const RowParams& p, int row) {
  unsigned of_head = static_cast<unsigned>(row);
  unsigned head = divide_keep(of_head, p.by_rows);
  const long long image = divide_keep(head, p.by_heads);
  return static_cast<const T*>(p.mask) +
         (image * p.mask_outer + head * p.mask_inner + of_head * p.mask_row);
}

template <class T, int width, int lanes, int kept, Rows kind>
AF_DEVICE void stream_rows(const RowParams& p) {
  constexpr bool is_masked = kind == Rows::masked_softmax;
  constexpr bool is_softmax = kind == Rows::softmax || is_masked;
  const int row = static_cast<int>(blockIdx.x) * (stream_threads / lanes) +
                  static_cast<int>(threadIdx.x) / lanes;
  if (row >= p.rows) return;  // whole warps, or the whole block
  const long long start = static_cast<long long>(row) * p.columns;
  const RowPart<T, width, lanes, kept> part(static_cast<const T*>(p.input) + start, p.columns);
  T* output = static_cast<T*>(p.output) + start;

  const int counted = is_softmax ? counted_columns(p, row) : p.columns;
  const T* mask = is_masked ? mask_of<T>(p, row) : nullptr;
  const auto score = [&](T x, int column) {
    return is_masked ? to_float(x) * p.scale + to_float(mask[column]) : to_float(x) * p.scale;
  };

  float partial = is_softmax ? bit_cast<float>(0xff800000u) : 0.0f;  // -infinity
  float center = 0.0f;                                               // largest, or mean
  if constexpr (kind != Rows::rms_norm) {
    part.each([&](const Pack<T, width>& x, int column) {
      AF_UNROLL
      for (int k = 0; k < width; ++k) {
        if constexpr (is_softmax) {
          if (column + k < counted) partial = Larger::of(partial, score(x.element[k], column + k));
        } else {
          partial += to_float(x.element[k]);
        }
      }
    });
    center = is_softmax ? reduce<lanes, Larger>(partial)
                        : reduce<lanes, Add>(partial) * p.inverse_columns;
  }

  partial = 0.0f;
  part.each([&](const Pack<T, width>& x, int column) {
    AF_UNROLL
    for (int k = 0; k < width; ++k) {
      if constexpr (is_softmax) {
        if (column + k < counted) partial += expf(score(x.element[k], column + k) - center);
      } else {
        const float value = to_float(x.element[k]) - center;
        partial += value * value;
      }
    }
  });
  const float total = reduce<lanes, Add>(partial);
  const float scale = is_softmax ? 1.0f / total : rsqrtf(total * p.inverse_columns + p.epsilon);

  part.each([&](const Pack<T, width>& x, int column) {
    Pack<T, width> y;
    AF_UNROLL
    for (int k = 0; k < width; ++k) {
      float value = 0.0f;
      if constexpr (is_softmax) {
        if (column + k < counted) value = expf(score(x.element[k], column + k) - center) * scale;
      } else {
        value = (to_float(x.element[k]) - center) * scale * p.weights[column + k];
        if constexpr (kind == Rows::layer_norm) value += p.bias[column + k];
      }
      y.element[k] = from_float<T>(value);
    }
    store<T, width>(output + column, y);
  });
}

#define AF_ROWS(kind, dtype, T, suffix, width, lanes, kept)      \
  AF_KERNEL void __launch_bounds__(stream_threads)               \
      stream_##kind##_##dtype##_##suffix(AF_PARAM RowParams p) { \
    stream_rows<T, width, lanes, kept, Rows::kind>(p);           \
  }
#define AF_ROWS_FORMS(kind, dtype, T)                                                   \
  AF_ROWS(kind, dtype, T, warp_x16, (16 / sizeof(T)), 32, row_warp_packs)               \
  AF_ROWS(kind, dtype, T, block_x16, (16 / sizeof(T)), stream_threads, row_block_packs) \
  AF_ROWS(kind, dtype, T, long_x16, (16 / sizeof(T)), stream_threads, 0)                \
  AF_ROWS(kind, dtype, T, warp_x1, 1, 32, 0)                                            \
  AF_ROWS(kind, dtype, T, long_x1, 1, stream_threads, 0)
#define AF_ROWS_KINDS(dtype, T)                                               \
  AF_ROWS_FORMS(layer_norm, dtype, T)                                         \
  AF_ROWS(rms_norm, dtype, T, warp_x16, (16 / sizeof(T)), 32, row_warp_packs) \
  AF_ROWS(rms_norm, dtype, T, long_x16, (16 / sizeof(T)), stream_threads, 0)  \
  AF_ROWS(rms_norm, dtype, T, long_x1, 1, stream_threads, 0)                  \
  AF_ROWS_FORMS(softmax, dtype, T)                                            \
  AF_ROWS(masked_softmax, dtype, T, warp_x16, (16 / sizeof(T)), 32, 0)        \
  AF_ROWS(masked_softmax, dtype, T, long_x16, (16 / sizeof(T)), stream_threads, 0)
AF_ROWS_KINDS(fp32, float)
AF_ROWS_KINDS(fp16, half_t)
AF_ROWS_KINDS(bf16, bf16_t)
#undef AF_ROWS_KINDS
#undef AF_ROWS_FORMS
#undef AF_ROWS

}  // namespace alphaflops::cuda
