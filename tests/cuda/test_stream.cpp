// Operators that move data, run in the emulation against references in double.
#include <functional>
#include <limits>
#include <set>
#include <string>

#include "activation_reference.hpp"
#include "alphaflops/error.hpp"
#include "buffer.hpp"
#include "conv_check.hpp"

using namespace alphaflops;
using namespace alphaflops::cuda;
using emulate::Memory;
using emulate::Tensor;
using Values = std::vector<double>;

namespace {

const Target target{80, false, 108, 163 * 1024};

struct Inputs {
  const Values &x, &second, &weights, &bias;
};

struct Window {
  double best = -std::numeric_limits<double>::infinity(), sum = 0.0;
  std::int64_t inside = 0, padded = 0;
};

/// By PyTorch's rule, written out for one window.
Window window(const StreamProblem& problem, const Values& x, std::int64_t n, std::int64_t p,
              std::int64_t q, std::int64_t c) {
  const Pool2dShape& s = problem.shape;
  Window w;
  for (std::int64_t r = 0; r < s.k_h; ++r) {
    for (std::int64_t t = 0; t < s.k_w; ++t) {
      const std::int64_t row = p * s.stride_h - s.pad_top + r * problem.dilation_h;
      const std::int64_t column = q * s.stride_w - s.pad_left + t * problem.dilation_w;
      if (row < s.h_in + s.pad_bottom && column < s.w_in + s.pad_right) ++w.padded;
      if (row < 0 || row >= s.h_in || column < 0 || column >= s.w_in) continue;
      const double value =
          x[static_cast<std::size_t>(((n * s.h_in + row) * s.w_in + column) * s.channels + c)];
      if (value > w.best || std::isnan(value)) w.best = value;  // a NaN stays
      w.sum += value;
      ++w.inside;
    }
  }
  return w;
}

Values pool_reference(const StreamProblem& problem, const Values& x) {
  const Pool2dShape& s = problem.shape;
  Pool2dShape reach = s;
  reach.k_h = (s.k_h - 1) * problem.dilation_h + 1;
  reach.k_w = (s.k_w - 1) * problem.dilation_w + 1;
  Values y;
  for (std::int64_t n = 0; n < s.batch; ++n) {
    for (std::int64_t p = 0; p < reach.h_out(); ++p) {
      for (std::int64_t q = 0; q < reach.w_out(); ++q) {
        for (std::int64_t c = 0; c < s.channels; ++c) {
          const Window w = window(problem, x, n, p, q, c);
          const auto divisor = static_cast<double>(s.count_include_pad ? w.padded : w.inside);
          y.push_back(problem.stream == Stream::max_pool ? w.best
                      : w.inside == 0                    ? 0.0
                                                         : w.sum / divisor);
        }
      }
    }
  }
  return y;
}

/// Where the mask of a row begins.
std::size_t mask_at(const StreamProblem& problem, std::size_t row) {
  const SoftmaxMask& mask = problem.mask;
  const auto rows = static_cast<std::size_t>(mask.rows),
             heads = static_cast<std::size_t>(mask.inner);
  return row / rows / heads * static_cast<std::size_t>(mask.at.outer) +
         row / rows % heads * static_cast<std::size_t>(mask.at.inner) +
         row % rows * static_cast<std::size_t>(mask.at.row);
}

Values rows_reference(const StreamProblem& problem, const Inputs& in) {
  const auto columns = static_cast<std::size_t>(problem.shape.channels);
  Values y(in.x.size());
  for (std::size_t row = 0; row < in.x.size(); row += columns) {
    const double* x = in.x.data() + row;
    if (problem.stream == Stream::softmax) {
      std::vector<double> score(x, x + columns);
      for (std::size_t c = 0; c < columns; ++c) {
        score[c] *= static_cast<double>(problem.scale);
        if (problem.mask.rows > 0) score[c] += in.second[mask_at(problem, row / columns) + c];
      }
      auto counted = static_cast<std::int64_t>(columns);
      if (problem.softmax_columns > 0) counted = problem.softmax_columns;
      if (problem.causal_rows > 0) {
        counted -= problem.causal_rows - 1;
        counted += static_cast<std::int64_t>(row / columns) % problem.causal_rows;
      }
      score.resize(static_cast<std::size_t>(counted));
      const double most = *std::ranges::max_element(score);
      double sum = 0.0;
      for (const double each : score) sum += std::exp(each - most);
      for (std::size_t c = 0; c < score.size(); ++c) y[row + c] = std::exp(score[c] - most) / sum;
      continue;
    }
    const bool centered = problem.stream == Stream::layer_norm;
    double mean = 0.0, variance = 0.0;
    for (std::size_t c = 0; c < columns && centered; ++c) {
      mean += x[c] / static_cast<double>(columns);
    }
    for (std::size_t c = 0; c < columns; ++c) {
      variance += (x[c] - mean) * (x[c] - mean) / static_cast<double>(columns);
    }
    const double scale = 1.0 / std::sqrt(variance + static_cast<double>(problem.epsilon));
    for (std::size_t c = 0; c < columns; ++c) {
      y[row + c] = (x[c] - mean) * scale * in.weights[c] + (centered ? in.bias[c] : 0.0);
    }
  }
  return y;
}

double applied(Function function, double x) {
  if (function == Function::leaky_relu) return x < 0.0 ? 0.01 * x : x;
  if (function == Function::gelu_tanh) {
    return 0.5 * x *
           (1.0 + std::tanh(std::sqrt(2.0 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
  }
  switch (function) {
    case Function::elu: return x > 0.0 ? x : std::expm1(x);
    case Function::selu:
      return 1.0507009873554805 * (x > 0.0 ? x : 1.6732632423543772 * std::expm1(x));
    case Function::softplus: return std::log1p(std::exp(x));
    case Function::mish: return x * std::tanh(std::log1p(std::exp(x)));
    case Function::exp: return std::exp(x);
    case Function::log: return std::log(x);
    case Function::erf: return std::erf(x);
    case Function::sqrt: return std::sqrt(x);
    case Function::rsqrt: return 1.0 / std::sqrt(x);
    case Function::reciprocal: return 1.0 / x;
    case Function::abs: return std::abs(x);
    case Function::neg: return -x;
    default: return check::activated(static_cast<Activation>(function), x);
  }
}

/// The element of the second operand that meets element `i` of the first.
std::size_t meets(const Repetition& r, std::size_t i) {
  if (r.length == 0) return i;
  const auto length = static_cast<std::size_t>(r.length);
  const std::size_t block = i / (length * static_cast<std::size_t>(r.repeats));
  return block % static_cast<std::size_t>(r.blocks) * length + i % length;
}

/// What the output should hold.
Values reference(const StreamProblem& problem, const Inputs& in) {
  const Pool2dShape& s = problem.shape;
  const auto channels = static_cast<std::size_t>(s.channels);
  const auto pixels = static_cast<std::size_t>(s.h_in * s.w_in);
  const auto images = static_cast<std::size_t>(s.batch);
  Values y(in.x.size());
  const auto each = [&](const std::function<double(std::size_t)>& f) {
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = applied(problem.function, f(i));
    return y;
  };
  switch (problem.stream) {
    case Stream::activation: return each([&](std::size_t i) { return in.x[i]; });
    case Stream::add:
      return each([&](std::size_t i) { return in.x[i] + in.second[meets(problem.second, i)]; });
    case Stream::subtract:
      return each([&](std::size_t i) { return in.x[i] - in.second[meets(problem.second, i)]; });
    case Stream::subtract_from:
      return each([&](std::size_t i) { return in.second[meets(problem.second, i)] - in.x[i]; });
    case Stream::multiply:
      return each([&](std::size_t i) { return in.x[i] * in.second[meets(problem.second, i)]; });
    case Stream::divide:
      return each([&](std::size_t i) { return in.x[i] / in.second[meets(problem.second, i)]; });
    case Stream::scale_shift:
      return each([&](std::size_t i) {
        return in.x[i] * in.weights[i % channels] + in.bias[i % channels];
      });
    case Stream::max_pool:
    case Stream::average_pool: return pool_reference(problem, in.x);
    case Stream::global_average_pool:
      y.assign(images * channels, 0.0);
      for (std::size_t i = 0; i < in.x.size(); ++i) {
        y[i / (pixels * channels) * channels + i % channels] +=
            in.x[i] / static_cast<double>(pixels);
      }
      return y;
    case Stream::layer_norm:
    case Stream::rms_norm:
    case Stream::softmax: return rows_reference(problem, in);
    case Stream::concat:
    case Stream::copy_axes:
    case Stream::lookup: return y;  // test_stream_gather.cpp
    case Stream::to_nchw:
    case Stream::to_nhwc: {
      const bool to_nchw = problem.stream == Stream::to_nchw;
      const std::size_t rows = to_nchw ? pixels : channels, columns = to_nchw ? channels : pixels;
      for (std::size_t n = 0; n < images; ++n) {
        for (std::size_t r = 0; r < rows; ++r) {
          for (std::size_t c = 0; c < columns; ++c) {
            y[(n * columns + c) * rows + r] = in.x[(n * rows + r) * columns + c];
          }
        }
      }
      return y;
    }
  }
  return y;
}

std::set<std::string> used;  // kernels

void set_nan(DType dtype, Tensor& x, std::size_t at) {
  x.values[at] = std::numeric_limits<double>::quiet_NaN();
  if (size_of(dtype) == 4) x.memory.data<unsigned>()[at] = 0x7fc00000U;
  if (size_of(dtype) == 2) x.memory.data<unsigned short>()[at] = 0x7fc0U;  // of both kinds
}

void check_stream(const StreamProblem& problem, const std::vector<emulate::Entry>& kernels,
                  std::mt19937& random) {
  const Pool2dShape& s = problem.shape;
  const std::int64_t elements = s.batch * s.h_in * s.w_in * s.channels;
  const std::int64_t seconds =
      problem.second.length > 0 ? problem.second.blocks * problem.second.length : elements;
  Tensor x(problem.dtype, elements, random), second(problem.dtype, seconds, random);
  Tensor weights(DType::fp32, s.channels, random), bias(DType::fp32, s.channels, random);
  const std::vector<Plan> found = plans(problem, target);
  const bool moves = problem.stream == Stream::to_nchw || problem.stream == Stream::to_nhwc;
  CHECK(found.size() == (moves || problem.dtype != DType::int8 ? 1U : 0U));
  if (problem.stream == Stream::max_pool) set_nan(problem.dtype, x, random() % x.values.size());
  for (const Plan& plan : found) {
    const std::string what = plan.algorithm + " " + std::string(to_string(problem.dtype)) + " " +
                             plan.tile + " " + std::to_string(s.batch) + "x" +
                             std::to_string(s.h_in) + "x" + std::to_string(s.w_in) + "x" +
                             std::to_string(s.channels);
    const Values expected =
        reference(problem, {x.values, second.values, weights.values, bias.values});
    const auto outputs = static_cast<std::int64_t>(expected.size());
    Memory y(static_cast<std::size_t>(outputs * size_of(problem.dtype)));
    emulate::Buffers buffers{};
    emulate::at(buffers, Buffer::input) = &x.memory;
    emulate::at(buffers, problem.mask.rows > 0 ? Buffer::mask : Buffer::second_input) =
        &second.memory;
    emulate::at(buffers, Buffer::weights) = &weights.memory;
    emulate::at(buffers, Buffer::bias) = &bias.memory;
    emulate::at(buffers, Buffer::output) = &y;
    emulate::block().seed(static_cast<unsigned>(random()));
    try {
      emulate::run_plan(plan, kernels, buffers);
    } catch (const std::exception& error) {
      CHECK_MESSAGE(false, what + ": " + error.what());
      continue;
    }
    Values got = emulate::read_back(y, problem.dtype, outputs), wanted = expected;
    for (std::size_t i = 0; i < got.size(); ++i) {
      if (std::isnan(expected[i])) {
        CHECK_MESSAGE(std::isnan(got[i]), what + ": a NaN got lost");
        got[i] = wanted[i] = 0.0;
      } else if (std::isinf(expected[i])) {
        CHECK_MESSAGE(got[i] == expected[i], what + ": an empty window");
        got[i] = wanted[i] = 0.0;
      } else if (problem.dtype == DType::fp16 && std::abs(expected[i]) > 65504.0) {
        CHECK_MESSAGE(std::isinf(got[i]), what + ": more than there are");
        got[i] = wanted[i] = 0.0;
      }
    }
    const double error = emulate::relative_error(got, wanted);
    CHECK_MESSAGE(error <= (moves ? 0.0 : emulate::bound(problem.dtype)),
                  what + ": error " + std::to_string(error));
    CHECK_MESSAGE(y.guards_intact() && x.memory.guards_intact(), what + ": wrote beyond a buffer");
    used.insert(plan.launches[0].symbol);
  }
}

StreamProblem draw(emulate::Shapes& shapes, Stream stream, DType dtype) {
  StreamProblem problem;
  problem.stream = stream;
  problem.dtype = dtype;
  problem.function = static_cast<Function>(shapes.draw(0, function_count - 1));
  Pool2dShape& s = problem.shape;
  s.batch = shapes.draw(1, 3), s.h_in = shapes.draw(2, 12), s.w_in = shapes.draw(2, 12);
  s.channels = shapes.draw(0, 1) == 0 ? shapes.draw(1, 12) * 8 : shapes.draw(1, 70);
  s.k_h = shapes.draw(1, 3), s.k_w = shapes.draw(1, 3);
  s.stride_h = shapes.draw(1, 3), s.stride_w = shapes.draw(1, 3);
  s.pad_top = shapes.draw(0, s.k_h - 1), s.pad_bottom = shapes.draw(0, s.k_h - 1);
  s.pad_left = shapes.draw(0, s.k_w - 1), s.pad_right = shapes.draw(0, s.k_w - 1);
  s.ceil_mode = shapes.draw(0, 1) == 1, s.count_include_pad = shapes.draw(0, 1) == 1;
  if (stream == Stream::max_pool && shapes.draw(0, 1) == 1) {
    problem.dilation_h = shapes.draw(1, 3), problem.dilation_w = shapes.draw(1, 3);
  }
  s.h_in = std::max(s.h_in, (s.k_h - 1) * problem.dilation_h + 1);
  s.w_in = std::max(s.w_in, (s.k_w - 1) * problem.dilation_w + 1);
  if (stream == Stream::layer_norm || stream == Stream::rms_norm || stream == Stream::softmax) {
    s.batch = 1, s.h_in = shapes.draw(1, 3), s.w_in = shapes.draw(1, 5);
    s.channels = shapes.pick<std::int64_t>({7, 24, 513, 768, 1024, 2048, 4097, 4104, 9000});
    problem.scale = shapes.pick({1.0f, 0.125f, 3.0f});
    if (shapes.draw(0, 1) == 1) problem.softmax_columns = shapes.draw(s.w_in, s.channels);
    if (shapes.draw(0, 1) == 1) problem.causal_rows = s.w_in;
    if (stream == Stream::softmax && s.channels % 8 == 0 && shapes.draw(0, 1) == 1) {
      SoftmaxMask& mask = problem.mask;
      s.batch = shapes.draw(1, 2), mask.inner = s.h_in, mask.rows = s.w_in;
      mask.at.row = shapes.draw(0, 1) * s.channels;
      mask.at.inner = shapes.draw(0, 1) * s.w_in * s.channels;
      mask.at.outer = s.h_in * s.w_in * s.channels;
    }
  }
  const bool sums =
      stream == Stream::add || stream == Stream::subtract || stream == Stream::subtract_from;
  const bool multiplies = stream == Stream::multiply || stream == Stream::divide;
  if (stream != Stream::activation && problem.function > Function::leaky_relu)
    problem.function = Function::relu;
  if (multiplies) problem.function = Function::none;
  if ((sums || multiplies) && shapes.draw(0, 1) == 1) {
    problem.function = Function::none;
    if (shapes.draw(0, 1) == 0) {
      problem.second = {s.batch, s.h_in * s.w_in, s.channels};  // a gate
    } else {
      problem.second = {s.h_in, s.w_in, s.channels};  // the same of each image
    }
  }
  return problem;
}

}  // namespace

int main() {
  const auto kernels = emulate::kernels_of(
      {"stream_elementwise.cuh", "stream_layout.cuh", "stream_pool.cuh", "stream_rows.cuh"});
  emulate::Shapes shapes(3);
  for (int i = 0; i < check::shape_count(60); ++i) {
    for (int stream = 0; stream < stream_count; ++stream) {
      const auto kind = static_cast<Stream>(stream);  // test_stream_gather.cpp has these
      if (kind == Stream::concat || kind == Stream::copy_axes || kind == Stream::lookup) continue;
      for (const DType dtype : {DType::fp32, DType::tf32, DType::fp16, DType::bf16, DType::int8}) {
        check_stream(draw(shapes, kind, dtype), kernels, shapes.random);
      }
    }
  }
  for (const emulate::Entry& kernel : kernels) {
    if (kernel.symbol.starts_with("stream_concat")) continue;  // test_stream_gather.cpp
    CHECK_MESSAGE(used.count(kernel.symbol) == 1 || check::shape_count(60) < 60,
                  kernel.symbol + " never ran");
  }
  return check::finish();
}
