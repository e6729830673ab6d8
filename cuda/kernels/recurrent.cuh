// A step of a recurrence, for every image, direction and hidden feature: the cell behind a product
// of the state before with the recurrent weights, or both in one launch.
#pragma once

#include "recurrent_params.cuh"
#include "stream_activation.cuh"

namespace alphaflops::cuda {

inline constexpr int most_gates = 4;

// What a step reads and writes of one image and direction.
struct RecurrentPlace {
  int image, direction, token, token_before;

  AF_DEVICE RecurrentPlace(const RecurrentParams& p, int image_, int direction_)
      : image(image_), direction(direction_) {
    token = direction == 0 ? p.step : p.length - 1 - p.step;
    token_before = direction == 0 ? token - 1 : token + 1;
  }
  AF_DEVICE long long at(const RecurrentStrides& by, int of_token) const {
    return image * by.image + of_token * by.token + direction * by.direction;
  }
};

// The new state of one hidden feature. `products` are of the gates, without biases.
template <class T>
AF_DEVICE void finish_cell(const RecurrentParams& p, const RecurrentPlace& place, int feature,
                           const float (&products)[most_gates]) {
  const T* sums = static_cast<const T*>(p.sums) + place.at(p.at_sums, place.token) + feature;
  float x[most_gates] = {}, h[most_gates] = {};  // what token and state bring
  AF_UNROLL
  for (int gate = 0; gate < most_gates; ++gate) {
    if (gate >= p.gates) break;
    x[gate] = to_float(sums[gate * p.hidden]);
    h[gate] = products[gate];
    if (p.bias != nullptr) {
      h[gate] += p.bias[(place.direction * p.gates + gate) * p.hidden + feature];
    }
  }
  float state = 0.0f;
  if (p.cell == cell_lstm) {  // input, forget, cell and output gate
    const long long own = static_cast<long long>(place.direction) * p.batch + place.image;
    float* memory = p.memory + (own * p.hidden + feature);
    float kept = sigmoid(x[0] + h[0]) * tanhf(x[2] + h[2]);
    if (p.step > 0) kept += sigmoid(x[1] + h[1]) * *memory;
    *memory = kept;
    state = sigmoid(x[3] + h[3]) * tanhf(kept);
  } else if (p.cell == cell_gru) {  // reset and update gate, new state
    const float fresh = tanhf(x[2] + sigmoid(x[0] + h[0]) * h[2]);
    float before = 0.0f;
    if (p.step > 0) {
      const long long from = place.at(p.at_before, place.token_before) + feature;
      before = to_float(static_cast<const T*>(p.before)[from]);
    }
    state = fresh + sigmoid(x[1] + h[1]) * (before - fresh);
  } else {
    state = tanhf(x[0] + h[0]);
  }
  const long long to = place.at(p.at_output, place.token) + feature;
  static_cast<T*>(p.output)[to] = from_float<T>(state);
}

// A thread has a feature; what the state brings lies in memory.
template <class T>
AF_DEVICE void recurrent_cell(const RecurrentParams& p) {
  const unsigned index = blockIdx.x * recurrent_cell_threads + threadIdx.x;
  if (index >= static_cast<unsigned>(p.directions) * static_cast<unsigned>(p.batch) *
                   static_cast<unsigned>(p.hidden)) {
    return;
  }
  unsigned feature = index;
  unsigned image = divide_keep(feature, p.by_hidden);
  const unsigned direction = divide_keep(image, p.by_batch);
  const RecurrentPlace place(p, static_cast<int>(image), static_cast<int>(direction));
  float products[most_gates] = {};
  if (p.step > 0) {
    const T* from = static_cast<const T*>(p.products) + place.at(p.at_products, 0) + feature;
    AF_UNROLL
    for (int gate = 0; gate < most_gates; ++gate) {
      if (gate < p.gates) products[gate] = to_float(from[gate * p.hidden]);
    }
  }
  finish_cell<T>(p, place, static_cast<int>(feature), products);
}

// A warp has a feature of `rows` images. It reads the rows of weights of its gates once.
template <class T, int width, int rows>
AF_DEVICE void recurrent_step(const RecurrentParams& p) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int feature =
      static_cast<int>(blockIdx.x) * recurrent_units + static_cast<int>(threadIdx.x) / 32;
  if (feature >= p.hidden) return;  // whole warps
  const int direction = static_cast<int>(blockIdx.z);
  const int first = static_cast<int>(blockIdx.y) * rows;
  const RecurrentPlace place(p, first, direction);
  float sums[rows][most_gates] = {};
  if (p.step > 0) {
    const long long row = static_cast<long long>(direction) * p.gates * p.hidden + feature;
    const T* weights = static_cast<const T*>(p.weights) + row * p.width;
    const T* states = static_cast<const T*>(p.before) + place.at(p.at_before, place.token_before);
    const long long gate_step = static_cast<long long>(p.hidden) * p.width;
    for (int column = lane * width; column < p.width; column += 32 * width) {
      Pack<T, width> w[most_gates] = {};
      AF_UNROLL
      for (int gate = 0; gate < most_gates; ++gate) {
        if (gate < p.gates) w[gate] = load<T, width>(weights + gate * gate_step + column);
      }
      AF_UNROLL
      for (int i = 0; i < rows; ++i) {
        if (first + i >= p.batch) break;
        const Pack<T, width> state = load<T, width>(states + i * p.at_before.image + column);
        AF_UNROLL
        for (int gate = 0; gate < most_gates; ++gate) {
          AF_UNROLL
          for (int k = 0; k < width; ++k) {
            sums[i][gate] += to_float(w[gate].element[k]) * to_float(state.element[k]);
          }
        }
      }
    }
  }
  float own[most_gates] = {};  // of the image that this lane finishes
  AF_UNROLL
  for (int i = 0; i < rows; ++i) {
    if (first + i >= p.batch) break;
    AF_UNROLL
    for (int gate = 0; gate < most_gates; ++gate) {
      float sum = sums[i][gate];
      AF_UNROLL
      for (int bits = 16; bits > 0; bits /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, bits);
      if (lane == i) own[gate] = sum;
    }
  }
  if (lane >= rows || first + lane >= p.batch) return;
  finish_cell<T>(p, RecurrentPlace(p, first + lane, direction), feature, own);
}

#define AF_RECURRENT_STEP(dtype, T, suffix, width, rows)                        \
  AF_KERNEL void __launch_bounds__(recurrent_units * 32)                        \
      recurrent_step_##dtype##_##suffix##_r##rows(AF_PARAM RecurrentParams p) { \
    recurrent_step<T, width, rows>(p);                                          \
  }
#define AF_RECURRENT(dtype, T)                             \
  AF_RECURRENT_STEP(dtype, T, x16, (16 / sizeof(T)), 8)    \
  AF_RECURRENT_STEP(dtype, T, x1, 1, 1)                    \
  AF_KERNEL void __launch_bounds__(recurrent_cell_threads) \
      recurrent_cell_##dtype(AF_PARAM RecurrentParams p) { \
    recurrent_cell<T>(p);                                  \
  }
AF_RECURRENT(fp32, float)
AF_RECURRENT(fp16, half_t)
AF_RECURRENT(bf16, bf16_t)
#undef AF_RECURRENT
#undef AF_RECURRENT_STEP

}  // namespace alphaflops::cuda
