// Holds plans of a convolution family, run in the emulation, against a reference in double.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "alphaflops/dtype.hpp"
#include "check.hpp"
#include "kernels/device.cuh"
#include "plan/plans.hpp"
#include "run_plan.hpp"

namespace emulate {

using alphaflops::Activation;
using alphaflops::Conv2dShape;
using alphaflops::DType;
using alphaflops::cuda::Buffer;
using alphaflops::cuda::Plan;
using alphaflops::cuda::Problem;
using alphaflops::cuda::Target;

/// `count` numbers of a dtype in memory, up to `most` but for int8, and what they are as doubles.
struct Tensor {
  Memory memory;
  std::vector<double> values;

  Tensor(DType dtype, std::int64_t count, std::mt19937& random, float most = 1.0f)
      : memory(static_cast<std::size_t>(count * size_of(dtype))),
        values(static_cast<std::size_t>(count)) {
    using namespace alphaflops::cuda;
    std::uniform_real_distribution<float> uniform(-most, most);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float x = uniform(random);
      switch (dtype) {
        case DType::fp32:
        case DType::tf32: values[i] = memory.data<float>()[i] = x; break;
        case DType::fp16:
          values[i] = to_float(memory.data<half_t>()[i] = from_float<half_t>(x));
          break;
        case DType::bf16:
          values[i] = to_float(memory.data<bf16_t>()[i] = from_float<bf16_t>(x));
          break;
        case DType::int8:
          values[i] = memory.data<signed char>()[i] = static_cast<signed char>(random());
          break;
      }
    }
  }
};

/// What was written, as doubles; int8 gives int32 where `sums`.
inline std::vector<double> read_back(const Memory& memory, DType dtype, std::int64_t count,
                                     bool sums = false) {
  using namespace alphaflops::cuda;
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    switch (dtype) {
      case DType::fp32:
      case DType::tf32: values[i] = memory.data<float>()[i]; break;
      case DType::fp16: values[i] = to_float(memory.data<half_t>()[i]); break;
      case DType::bf16: values[i] = to_float(memory.data<bf16_t>()[i]); break;
      case DType::int8:
        values[i] = sums ? memory.data<int>()[i] : memory.data<signed char>()[i];
        break;
    }
  }
  return values;
}

/// ||y - reference|| / ||reference||; NaN where y has one.
inline double relative_error(const std::vector<double>& y, const std::vector<double>& reference) {
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    difference += (y[i] - reference[i]) * (y[i] - reference[i]);
    norm += reference[i] * reference[i];
  }
  return std::sqrt(difference / std::max(norm, 1e-60));
}

/// The largest relative error that a dtype is allowed; int8 is exact.
inline double bound(DType dtype) {
  switch (dtype) {
    case DType::fp32: return 1e-5;
    case DType::tf32: return 1e-3;
    case DType::int8: return 0.0;
    default: return 1e-2;
  }
}

inline std::string describe(const Problem& problem, const Plan& plan) {
  const Conv2dShape& s = problem.shape;
  std::string text = plan.algorithm + " " + plan.tile + " " + std::string(to_string(problem.dtype));
  const auto add = [&text](const char* name, std::int64_t value) {
    text += std::string(" ") + name + "=" + std::to_string(value);
  };
  add("batch", s.batch), add("c_in", s.c_in), add("h_in", s.h_in), add("w_in", s.w_in);
  add("c_out", s.c_out), add("k_h", s.k_h), add("k_w", s.k_w);
  add("stride_h", s.stride_h), add("stride_w", s.stride_w);
  add("pad_top", s.pad_top), add("pad_bottom", s.pad_bottom);
  add("pad_left", s.pad_left), add("pad_right", s.pad_right);
  add("dilation_h", s.dilation_h), add("dilation_w", s.dilation_w), add("groups", s.groups);
  return text;
}

/// y[n,p,q,o] in double, weights [c_out][k_h][k_w][c_in / groups].
inline std::vector<double> forward_reference(const Problem& problem, const std::vector<double>& x,
                                             const std::vector<double>& w,
                                             const std::vector<double>& bias) {
  const Conv2dShape& s = problem.shape;
  const std::int64_t h_out = s.h_out(), w_out = s.w_out();
  const std::int64_t group_in = s.c_in / s.groups, group_out = s.c_out / s.groups;
  std::vector<double> y(static_cast<std::size_t>(s.batch * h_out * w_out * s.c_out), 0.0);
  double* to = y.data();
  for (std::int64_t n = 0; n < s.batch; ++n) {
    for (std::int64_t p = 0; p < h_out; ++p) {
      for (std::int64_t q = 0; q < w_out; ++q, to += s.c_out) {
        for (std::int64_t o = 0; o < s.c_out; ++o) {
          double sum = problem.bias ? bias[static_cast<std::size_t>(o)] : 0.0;
          for (std::int64_t r = 0; r < s.k_h; ++r) {
            const std::int64_t row = p * s.stride_h - s.pad_top + r * s.dilation_h;
            if (row < 0 || row >= s.h_in) continue;
            for (std::int64_t t = 0; t < s.k_w; ++t) {
              const std::int64_t column = q * s.stride_w - s.pad_left + t * s.dilation_w;
              if (column < 0 || column >= s.w_in) continue;
              const double* pixel = x.data() + ((n * s.h_in + row) * s.w_in + column) * s.c_in +
                                    o / group_out * group_in;
              const double* tap = w.data() + ((o * s.k_h + r) * s.k_w + t) * group_in;
              for (std::int64_t i = 0; i < group_in; ++i) sum += pixel[i] * tap[i];
            }
          }
          if (problem.activation != Activation::none) sum = std::max(sum, 0.0);
          if (problem.activation == Activation::relu6) sum = std::min(sum, 6.0);
          to[o] = sum;
        }
      }
    }
  }
  return y;
}

/// Runs every plan of a forward problem; returns how many there were.
inline int check_forward(const Problem& problem, const std::vector<Plan>& plans,
                         const std::vector<Entry>& kernels, std::mt19937& random) {
  if (plans.empty()) return 0;
  const Conv2dShape& s = problem.shape;
  const bool whole = problem.dtype == DType::int8;
  Tensor x(problem.dtype, s.batch * s.h_in * s.w_in * s.c_in, random);
  Tensor w(problem.dtype, s.c_out * s.k_h * s.k_w * (s.c_in / s.groups), random);
  Tensor bias(DType::fp32, s.c_out, random);  // of the type of the sum
  if (whole) {
    for (std::size_t i = 0; i < bias.values.size(); ++i) {
      bias.values[i] = bias.memory.data<int>()[i] = static_cast<int>(random() % 2001) - 1000;
    }
  }
  const std::vector<double> reference = forward_reference(problem, x.values, w.values, bias.values);
  const auto outputs = static_cast<std::int64_t>(reference.size());
  for (const Plan& plan : plans) {
    const std::string what = describe(problem, plan);
    Memory y(static_cast<std::size_t>(outputs * (whole ? 4 : size_of(problem.dtype))));
    Memory workspace(static_cast<std::size_t>(plan.workspace_bytes));
    Buffers buffers{};
    at(buffers, Buffer::input) = &x.memory;
    at(buffers, Buffer::weights) = &w.memory;
    at(buffers, Buffer::bias) = problem.bias ? &bias.memory : nullptr;
    at(buffers, Buffer::output) = &y;
    at(buffers, Buffer::workspace) = &workspace;
    block().seed(static_cast<unsigned>(random()));
    try {
      run_plan(plan, kernels, buffers);
    } catch (const std::exception& error) {
      CHECK_MESSAGE(false, what + ": " + error.what());
      continue;
    }
    const double error = relative_error(read_back(y, problem.dtype, outputs, whole), reference);
    CHECK_MESSAGE(error <= bound(problem.dtype), what + ": error " + std::to_string(error));
    CHECK_MESSAGE(y.guards_intact() && workspace.guards_intact() && x.memory.guards_intact(),
                  what + ": wrote beyond a buffer");
  }
  return static_cast<int>(plans.size());
}

/// Small shapes with what goes wrong: tails, padding on one side, stride, dilation.
class Shapes {
 public:
  explicit Shapes(unsigned seed) : random(seed) {}

  std::int64_t draw(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  }
  template <class T>
  T pick(std::initializer_list<T> from) {
    return from.begin()[draw(0, static_cast<std::int64_t>(from.size()) - 1)];
  }

  /// Window, strides and padding at random about the channels and groups given.
  Conv2dShape shape(std::int64_t c_in, std::int64_t c_out, std::int64_t groups, int largest = 5) {
    Conv2dShape s;
    s.batch = draw(1, 3);
    s.c_in = c_in, s.c_out = c_out, s.groups = groups;
    s.k_h = draw(1, largest), s.k_w = draw(1, largest);
    s.stride_h = draw(1, 3), s.stride_w = draw(1, 3);
    s.dilation_h = draw(1, 2), s.dilation_w = draw(1, 2);
    s.pad_top = draw(0, 2), s.pad_bottom = draw(0, 2);
    s.pad_left = draw(0, 2), s.pad_right = draw(0, 2);
    size(s, 14);
    return s;
  }
  /// An input that the window fits.
  void size(Conv2dShape& s, std::int64_t largest) {
    const std::int64_t least_h = (s.k_h - 1) * s.dilation_h + 1 - s.pad_top - s.pad_bottom;
    const std::int64_t least_w = (s.k_w - 1) * s.dilation_w + 1 - s.pad_left - s.pad_right;
    s.h_in = std::max<std::int64_t>(least_h, 1) + draw(0, largest);
    s.w_in = std::max<std::int64_t>(least_w, 1) + draw(0, largest);
  }
  Problem problem(const Conv2dShape& s, DType dtype) {
    return {s, dtype, alphaflops::Pass::forward,
            pick({Activation::none, Activation::relu, Activation::relu6}), draw(0, 1) == 1};
  }

  std::mt19937 random;
};

}  // namespace emulate
