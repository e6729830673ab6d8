// Runs plans of convolutions in the emulation against sums in double precision.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "alphaflops/work.hpp"
#include "buffer.hpp"
#include "check.hpp"
#include "kernels/device.cuh"
#include "plan/problem.hpp"
#include "run_plan.hpp"

namespace emulate {

using namespace alphaflops;
using namespace alphaflops::cuda;
using std::int64_t;

inline int64_t output_bytes(DType dtype) { return dtype == DType::int8 ? 4 : size_of(dtype); }

/// Element `i` of a tensor of that dtype (fp32 for tf32).
inline double get(const Memory& memory, DType dtype, int64_t i) {
  switch (dtype) {
    case DType::fp16: return static_cast<double>(to_float(memory.data<half_t>()[i]));
    case DType::bf16: return static_cast<double>(to_float(memory.data<bf16_t>()[i]));
    case DType::int8: return static_cast<double>(memory.data<signed char>()[i]);
    default: return static_cast<double>(memory.data<float>()[i]);
  }
}

inline double get_output(const Memory& memory, DType dtype, int64_t i) {
  return dtype == DType::int8 ? static_cast<double>(memory.data<int>()[i]) : get(memory, dtype, i);
}

inline void set(Memory& memory, DType dtype, int64_t i, float value) {
  switch (dtype) {
    case DType::fp16: memory.data<half_t>()[i] = from_float<half_t>(value); break;
    case DType::bf16: memory.data<bf16_t>()[i] = from_float<bf16_t>(value); break;
    case DType::int8:
      memory.data<signed char>()[i] = static_cast<signed char>(std::lrint(value * 127.0f));
      break;
    default: memory.data<float>()[i] = value;
  }
}

inline void fill(Memory& memory, DType dtype, int64_t count, std::mt19937& random) {
  std::uniform_real_distribution<float> value(-1.0f, 1.0f);
  for (int64_t i = 0; i < count; ++i) set(memory, dtype, i, value(random));
}

inline int64_t input_count(const Conv2dShape& s) { return s.batch * s.h_in * s.w_in * s.c_in; }
inline int64_t output_count(const Conv2dShape& s) {
  return s.batch * s.h_out() * s.w_out() * s.c_out;
}
inline int64_t weight_count(const Conv2dShape& s) {
  return s.c_out * s.k_h * s.k_w * (s.c_in / s.groups);
}

/// Calls f(input index, weight index, output index) for every product that is not with padding.
template <class F>
void each_product(const Conv2dShape& s, const F& f) {
  const int64_t group_in = s.c_in / s.groups, group_out = s.c_out / s.groups;
  const int64_t h_out = s.h_out(), w_out = s.w_out();
  for (int64_t n = 0; n < s.batch; ++n)
    for (int64_t p = 0; p < h_out; ++p)
      for (int64_t q = 0; q < w_out; ++q)
        for (int64_t r = 0; r < s.k_h; ++r)
          for (int64_t t = 0; t < s.k_w; ++t) {
            const int64_t y = p * s.stride_h - s.pad_top + r * s.dilation_h;
            const int64_t x = q * s.stride_w - s.pad_left + t * s.dilation_w;
            if (y < 0 || y >= s.h_in || x < 0 || x >= s.w_in) continue;
            for (int64_t o = 0; o < s.c_out; ++o)
              for (int64_t i = 0; i < group_in; ++i)
                f(((n * s.h_in + y) * s.w_in + x) * s.c_in + o / group_out * group_in + i,
                  ((o * s.k_h + r) * s.k_w + t) * group_in + i,
                  ((n * h_out + p) * w_out + q) * s.c_out + o);
          }
}

inline std::string describe(const Problem& problem) {
  const Conv2dShape& s = problem.shape;
  std::string text = std::string(to_string(problem.dtype)) + " " +
                     std::string(to_string(problem.pass)) + " " +
                     std::string(to_string(problem.activation)) + (problem.bias ? " bias" : "");
  for (const int64_t size :
       {s.batch, s.c_in, s.h_in, s.w_in, s.c_out, s.k_h, s.k_w, s.stride_h, s.stride_w, s.pad_top,
        s.pad_bottom, s.pad_left, s.pad_right, s.dilation_h, s.dilation_w, s.groups}) {
    text.append(" ").append(std::to_string(size));
  }
  return text;
}

/// The tensors of one problem and the result it should have.
class ConvCase {
 public:
  ConvCase(const Problem& problem, std::mt19937& random)
      : problem_(problem),
        input_(bytes(input_count(problem.shape))),
        weights_(bytes(weight_count(problem.shape))),
        bias_(static_cast<std::size_t>(std::max(problem.shape.c_in, problem.shape.c_out) * 4)),
        gradient_(bytes(output_count(problem.shape))),
        turned_(problem.transposed ? bytes(weight_count(problem.shape)) : 0) {
    const Conv2dShape& s = problem.shape;
    fill(input_, problem.dtype, input_count(s), random);
    fill(weights_, problem.dtype, weight_count(s), random);
    fill(gradient_, problem.dtype, output_count(s), random);
    for (int64_t i = 0; i < std::max(s.c_in, s.c_out); ++i) {
      if (problem.dtype == DType::int8) {
        bias_.data<int>()[i] = static_cast<int>(random() % 2001) - 1000;
      } else {
        bias_.data<float>()[i] = static_cast<float>(static_cast<int>(random() % 17)) / 4.0f - 2.0f;
      }
    }
    if (problem.transposed) turn();
    refer();
  }

  /// Whether the plan gives the reference and writes nothing else; says what is wrong if not.
  bool run(const Plan& plan, const std::vector<Entry>& kernels) {
    const DType dtype = problem_.dtype;
    const auto count = static_cast<int64_t>(expected_.size());
    Memory output(static_cast<std::size_t>(count * output_bytes(dtype)));
    Memory workspace(static_cast<std::size_t>(plan.workspace_bytes));
    Buffers buffers{};
    at(buffers, Buffer::input) = problem_.transposed ? &gradient_ : &input_;
    at(buffers, Buffer::weights) = problem_.transposed ? &turned_ : &weights_;
    at(buffers, Buffer::bias) = problem_.bias ? &bias_ : nullptr;
    at(buffers, Buffer::output_gradient) = &gradient_;
    at(buffers, Buffer::output) = &output;
    at(buffers, Buffer::workspace) = &workspace;
    const std::string name = plan.algorithm + " " + plan.tile + " of " + describe(problem_);
    try {
      run_plan(plan, kernels, buffers);
    } catch (const std::exception& error) {
      return CHECK_MESSAGE(false, name + ": " + error.what());
    }
    double error = 0.0, norm = power_;
    for (int64_t i = 0; i < count; ++i) {
      const double y = get_output(output, dtype, i), e = expected_[static_cast<std::size_t>(i)];
      if (std::isnan(y)) return CHECK_MESSAGE(false, name + ": a NaN at " + std::to_string(i));
      error += (y - e) * (y - e);
    }
    const double bound = dtype == DType::int8   ? 0.0
                         : dtype == DType::fp32 ? 1e-5
                         : dtype == DType::tf32 ? 1e-3
                                                : 1e-2;
    bool guards = true;
    for (Memory* memory : {&input_, &weights_, &bias_, &gradient_, &output, &workspace}) {
      guards = memory->guards_intact() && guards;
    }
    return CHECK_MESSAGE(std::sqrt(error) <= bound * std::sqrt(norm),
                         name + ": error " + std::to_string(std::sqrt(error / (norm + 1e-300)))) &&
           CHECK_MESSAGE(guards, name + ": writes outside of its buffers");
  }

 private:
  std::size_t bytes(int64_t count) const {
    return static_cast<std::size_t>(count * size_of(problem_.dtype));
  }

  void refer() {
    const Conv2dShape& s = problem_.shape;
    const DType dtype = problem_.dtype;
    const auto values = [dtype](const Memory& memory, int64_t count) {
      std::vector<double> x(static_cast<std::size_t>(count));
      for (int64_t i = 0; i < count; ++i) x[static_cast<std::size_t>(i)] = get(memory, dtype, i);
      return x;
    };
    const auto x = values(input_, input_count(s)), w = values(weights_, weight_count(s)),
               g = values(gradient_, output_count(s));
    const auto add = [this](int64_t i, double product) {
      expected_[static_cast<std::size_t>(i)] += product;
      power_ += product * product;
    };
    const auto of = [](const std::vector<double>& v, int64_t i) {
      return v[static_cast<std::size_t>(i)];
    };
    if (problem_.pass == Pass::input_gradient) {
      expected_.assign(x.size(), 0.0);
      each_product(s, [&](int64_t i, int64_t k, int64_t o) { add(i, of(w, k) * of(g, o)); });
      if (problem_.transposed) finish(s.c_in);
      return;
    }
    if (problem_.pass == Pass::weight_gradient) {
      expected_.assign(w.size(), 0.0);
      each_product(s, [&](int64_t i, int64_t k, int64_t o) { add(k, of(x, i) * of(g, o)); });
      return;
    }
    expected_.assign(g.size(), 0.0);
    each_product(s, [&](int64_t i, int64_t k, int64_t o) { add(o, of(x, i) * of(w, k)); });
    finish(s.c_out);
  }

  /// What the epilogue does to results of so many channels.
  void finish(int64_t channels) {
    for (std::size_t i = 0; i < expected_.size(); ++i) {
      double& y = expected_[i];
      if (problem_.bias) {
        const int64_t channel = static_cast<int64_t>(i) % channels;
        y += problem_.dtype == DType::int8 ? static_cast<double>(bias_.data<int>()[channel])
                                           : static_cast<double>(bias_.data<float>()[channel]);
      }
      if (problem_.activation != Activation::none) y = std::max(y, 0.0);
      if (problem_.activation == Activation::relu6) y = std::min(y, 6.0);
    }
  }

  /// The weights as [group][c_in][taps][c_out].
  void turn() {
    const Conv2dShape& s = problem_.shape;
    const int64_t c_in = s.c_in / s.groups, c_out = s.c_out / s.groups, taps = s.k_h * s.k_w;
    for (int64_t o = 0; o < s.c_out; ++o)
      for (int64_t t = 0; t < taps; ++t)
        for (int64_t i = 0; i < c_in; ++i) {
          const int64_t to = ((o / c_out * c_in + i) * taps + t) * c_out + o % c_out;
          set(turned_, problem_.dtype, to,
              static_cast<float>(get(weights_, problem_.dtype, (o * taps + t) * c_in + i)));
        }
  }

  Problem problem_;
  Memory input_, weights_, bias_, gradient_, turned_;
  std::vector<double> expected_;
  double power_ = 0.0;  // what the squares of the sums come to where products do not cancel
};

/// A convolution with some of everything: tails, strides, dilation, groups, uneven padding.
inline Conv2dShape random_conv(std::mt19937& random, int64_t most_channels = 40) {
  const auto draw = [&random](int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random() % static_cast<unsigned>(high - low + 1));
  };
  while (true) {
    Conv2dShape s;
    s.batch = draw(1, 3);
    s.groups = draw(0, 3) == 0 ? draw(2, 3) : 1;
    // Half of them in multiples of 8, which vector paths want.
    const auto channels = [&](int64_t most) {
      return draw(0, 1) == 0 ? draw(1, most) : 8 * draw(1, (most + 7) / 8);
    };
    s.c_in = s.groups * channels(most_channels / s.groups);
    s.c_out = s.groups * channels(draw(0, 3) == 0 ? 4 * most_channels : most_channels);
    s.k_h = draw(1, 3), s.k_w = draw(1, 3);
    if (draw(0, 2) == 0) s.k_h = s.k_w = 1;
    s.h_in = draw(1, 9), s.w_in = draw(1, 9);
    if (draw(0, 3) == 0) s.h_in = s.w_in = 1, s.batch = draw(1, 90);
    s.stride_h = draw(1, 3), s.stride_w = draw(1, 3);
    if (draw(0, 1) == 0) s.stride_h = s.stride_w = 1;
    if (draw(0, 19) == 0) s.stride_h = s.stride_w = 5;  // more phases than a launch has
    s.dilation_h = draw(0, 3) == 0 ? draw(2, 3) : 1;
    s.dilation_w = draw(0, 3) == 0 ? draw(2, 3) : 1;
    if (draw(0, 1) == 0) {
      s.pad_top = draw(0, 2), s.pad_bottom = draw(0, 2);
      s.pad_left = draw(0, 2), s.pad_right = draw(0, 2);
    }
    if (s.h_in + s.pad_top + s.pad_bottom < (s.k_h - 1) * s.dilation_h + 1 ||
        s.w_in + s.pad_left + s.pad_right < (s.k_w - 1) * s.dilation_w + 1) {
      continue;
    }
    return s;
  }
}

/// Runs one plan each of random problems, which between them use every kernel of the table.
/// `draw(random)` makes a problem, `plans_of` is the family. A device has one of the numbers of
/// multiprocessors.
template <class Draw>
void check_family(int shapes, const std::vector<Entry>& table, const Draw& draw,
                  std::vector<Plan> (*plans_of)(const Problem&, const Target&),
                  const std::vector<int>& multiprocessors = {132}) {
  std::mt19937 random(7);
  std::set<std::string> used;
  int split = 0;
  const int count = check::shape_count(shapes);
  for (int i = 0; i < count; ++i) {
    const Problem problem = draw(random);
    const int own = multiprocessors[static_cast<std::size_t>(i) % multiprocessors.size()];
    const std::vector<Plan> plans = plans_of(problem, {90, true, own, 227 * 1024});
    if (!CHECK_MESSAGE(!plans.empty(), "no plan for " + describe(problem))) continue;
    ConvCase tensors(problem, random);
    // One whose kernels have not all run yet, if there is any.
    const auto is_new = [&used](const Plan& each) {
      return !std::ranges::all_of(each.launches,
                                  [&used](const Launch& l) { return used.contains(l.symbol); });
    };
    std::size_t chosen = random() % plans.size();
    for (std::size_t turn = 0; turn < plans.size() && !is_new(plans[chosen]); ++turn) {
      chosen = (chosen + 1) % plans.size();
    }
    const Plan& plan = plans[chosen];
    block().seed(static_cast<unsigned>(i));
    if (!tensors.run(plan, table)) continue;
    for (const Launch& launch : plan.launches) used.insert(launch.symbol);
    split += plan.tile.find("split") != std::string::npos;
  }
  if (count < shapes) return;
  for (const Entry& kernel : table) {
    CHECK_MESSAGE(used.count(kernel.symbol) == 1, kernel.symbol + " never ran");
  }
  CHECK(split > 10);
}

/// A pass, and for the forward one an epilogue.
inline Problem random_problem(std::mt19937& random, DType dtype) {
  constexpr Activation activations[] = {Activation::none, Activation::relu, Activation::relu6};
  Problem problem;
  problem.dtype = dtype;
  problem.shape = random_conv(random, dtype == DType::int8 ? 120 : 40);
  if (dtype != DType::int8 && random() % 3 == 0) {
    problem.pass = Pass::input_gradient;
    problem.transposed = random() % 2 == 0;
  }
  if (problem.pass == Pass::forward || problem.transposed) {
    problem.activation = activations[random() % 3];
    problem.bias = random() % 2 == 0;
  }
  return problem;
}

}  // namespace emulate
