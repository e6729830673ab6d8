// The executor and the bench against a reference that runs the graph node by node in double, NCHW.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/executor.hpp"
#include "alphaflops/measure.hpp"
#include "alphaflops/spec.hpp"
#include "alphaflops/system.hpp"
#include "check.hpp"

using namespace alphaflops;

namespace {

using Tensor = std::vector<double>;

double apply(Activation f, double x) {
  switch (f) {
    case Activation::none: return x;
    case Activation::relu: return std::max(x, 0.0);
    case Activation::relu6: return std::clamp(x, 0.0, 6.0);
    case Activation::sigmoid: return 1.0 / (1.0 + std::exp(-x));
    case Activation::silu: return x / (1.0 + std::exp(-x));
    case Activation::hardsigmoid: return std::clamp(x + 3.0, 0.0, 6.0) / 6.0;
    case Activation::hardswish: return x * std::clamp(x + 3.0, 0.0, 6.0) / 6.0;
    case Activation::gelu: return 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
    case Activation::tanh: return std::tanh(x);
  }
  return x;
}

class Reference {
 public:
  Reference(const Graph& graph, const Executor& executor) : graph_(graph), executor_(executor) {}

  Tensor run(const std::vector<Tensor>& inputs) {
    std::vector<Tensor> tensors;
    std::size_t next_input = 0;
    for (std::size_t i = 0; i < graph_.nodes().size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (std::holds_alternative<Input>(node.op)) {
        tensors.push_back(inputs[next_input++]);
        continue;
      }
      std::vector<const Tensor*> operands;
      for (const int x : node.inputs) operands.push_back(&tensors[static_cast<std::size_t>(x)]);
      tensors.push_back(compute(static_cast<int>(i), node, operands));
    }
    return tensors.back();
  }

 private:
  Tensor compute(int index, const Node& node, const std::vector<const Tensor*>& operands) {
    const Shape& in = graph_.node(node.inputs[0]).shape;
    const Tensor& x = *operands[0];
    const std::vector<float> w = executor_.weights(index);
    const std::vector<float> b = executor_.shift(index);
    if (const auto* conv = std::get_if<Conv2dOp>(&node.op))
      return convolve(x, in, node, *conv, w, b);
    if (const auto* pool = std::get_if<PoolOp>(&node.op)) return pool2d(x, in, node, *pool);
    Tensor y(static_cast<std::size_t>(element_count(node.shape)));
    if (std::holds_alternative<LinearOp>(node.op)) {
      const auto k = static_cast<std::size_t>(in.back());
      const auto m = static_cast<std::size_t>(node.shape.back());
      for (std::size_t i = 0; i < y.size(); ++i) {
        double sum = b.empty() ? 0.0 : static_cast<double>(b[i % m]);
        for (std::size_t j = 0; j < k; ++j)
          sum += x[i / m * k + j] * static_cast<double>(w[i % m * k + j]);
        y[i] = sum;
      }
    } else if (std::holds_alternative<BatchNormOp>(node.op)) {
      const std::size_t pixels = per_channel(in);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t c = i / pixels % w.size();
        y[i] = x[i] * static_cast<double>(w[c]) + static_cast<double>(b[c]);
      }
    } else if (const auto* f = std::get_if<ActivationOp>(&node.op)) {
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = apply(f->activation, x[i]);
    } else if (std::holds_alternative<GlobalPoolOp>(node.op)) {
      const std::size_t pixels = per_channel(in);
      for (std::size_t i = 0; i < x.size(); ++i)
        y[i / pixels] += x[i] / static_cast<double>(pixels);
    } else if (std::holds_alternative<AddOp>(node.op)) {
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] + (*operands[1])[i];
    } else if (std::holds_alternative<MulOp>(node.op)) {
      const std::size_t repeat = x.size() / operands[1]->size();
      for (std::size_t i = 0; i < y.size(); ++i) y[i] = x[i] * (*operands[1])[i / repeat];
    } else if (std::holds_alternative<ConcatOp>(node.op)) {
      concatenate(node, operands, y);
    } else if (std::holds_alternative<FlattenOp>(node.op)) {
      y = x;
    } else if (std::holds_alternative<SoftmaxOp>(node.op)) {
      soften(x, in, y);
    }
    return y;
  }

  static std::size_t per_channel(const Shape& s) {
    return s.size() == 4 ? static_cast<std::size_t>(s[2] * s[3]) : 1;
  }

  static Tensor convolve(const Tensor& x, const Shape& in, const Node& node, const Conv2dOp& op,
                         const std::vector<float>& w, const std::vector<float>& b) {
    const Shape& out = node.shape;
    const Window& win = op.window;
    const std::int64_t gi = in[1] / op.groups, go = out[1] / op.groups;
    Tensor y(static_cast<std::size_t>(element_count(out)));
    std::size_t at = 0;
    for (std::int64_t n = 0; n < out[0]; ++n)
      for (std::int64_t o = 0; o < out[1]; ++o)
        for (std::int64_t p = 0; p < out[2]; ++p)
          for (std::int64_t q = 0; q < out[3]; ++q, ++at) {
            double sum = b.empty() ? 0.0 : static_cast<double>(b[static_cast<std::size_t>(o)]);
            for (std::int64_t i = 0; i < gi; ++i)
              for (std::int64_t r = 0; r < win.kernel[0]; ++r)
                for (std::int64_t s = 0; s < win.kernel[1]; ++s) {
                  const std::int64_t h = p * win.stride[0] + r * win.dilation[0] - win.pad[0];
                  const std::int64_t v = q * win.stride[1] + s * win.dilation[1] - win.pad[2];
                  if (h < 0 || h >= in[2] || v < 0 || v >= in[3]) continue;
                  const std::int64_t c = o / go * gi + i;
                  sum += x[static_cast<std::size_t>(((n * in[1] + c) * in[2] + h) * in[3] + v)] *
                         static_cast<double>(w[static_cast<std::size_t>(
                             ((o * gi + i) * win.kernel[0] + r) * win.kernel[1] + s)]);
                }
            y[at] = sum;
          }
    return y;
  }

  static Tensor pool2d(const Tensor& x, const Shape& in, const Node& node, const PoolOp& op) {
    const Shape& out = node.shape;
    const Window& win = op.window;
    Tensor y(static_cast<std::size_t>(element_count(out)));
    std::size_t at = 0;
    for (std::int64_t plane = 0; plane < out[0] * out[1]; ++plane)
      for (std::int64_t p = 0; p < out[2]; ++p)
        for (std::int64_t q = 0; q < out[3]; ++q, ++at) {
          double most = -std::numeric_limits<double>::infinity(), sum = 0.0;
          std::int64_t inside = 0, padded = 0;
          for (std::int64_t r = 0; r < win.kernel[0]; ++r)
            for (std::int64_t s = 0; s < win.kernel[1]; ++s) {
              const std::int64_t h = p * win.stride[0] + r - win.pad[0];
              const std::int64_t v = q * win.stride[1] + s - win.pad[2];
              if (h < in[2] + win.pad[1] && v < in[3] + win.pad[3]) ++padded;
              if (h < 0 || h >= in[2] || v < 0 || v >= in[3]) continue;
              const double value = x[static_cast<std::size_t>((plane * in[2] + h) * in[3] + v)];
              most = std::max(most, value);
              sum += value;
              ++inside;
            }
          y[at] = op.kind == PoolOp::Kind::max
                      ? most
                      : sum / static_cast<double>(op.count_include_pad ? padded : inside);
        }
    return y;
  }

  void concatenate(const Node& node, const std::vector<const Tensor*>& operands, Tensor& y) const {
    std::size_t at = 0;
    const auto batch = static_cast<std::size_t>(node.shape[0]);
    for (std::size_t n = 0; n < batch; ++n)
      for (const Tensor* each : operands) {
        const std::size_t part = each->size() / batch;
        for (std::size_t i = 0; i < part; ++i) y[at++] = (*each)[n * part + i];
      }
  }

  static void soften(const Tensor& x, const Shape& in, Tensor& y) {
    const std::size_t step = per_channel(in);
    const auto count = static_cast<std::size_t>(in.size() == 4 ? in[1] : in.back());
    for (std::size_t block = 0; block < x.size(); block += count * step)
      for (std::size_t p = 0; p < step; ++p) {
        double sum = 0.0;
        for (std::size_t c = 0; c < count; ++c) sum += std::exp(x[block + c * step + p]);
        for (std::size_t c = 0; c < count; ++c) {
          y[block + c * step + p] = std::exp(x[block + c * step + p]) / sum;
        }
      }
  }

  const Graph& graph_;
  const Executor& executor_;
};

/// An NHWC (or flat) buffer in the graph's own order.
Tensor to_nchw(std::span<const float> values, const Shape& s) {
  Tensor result(values.begin(), values.end());
  if (s.size() != 4) return result;
  for (std::int64_t n = 0; n < s[0]; ++n)
    for (std::int64_t c = 0; c < s[1]; ++c)
      for (std::int64_t p = 0; p < s[2] * s[3]; ++p) {
        result[static_cast<std::size_t>((n * s[1] + c) * s[2] * s[3] + p)] =
            static_cast<double>(values[static_cast<std::size_t>((n * s[2] * s[3] + p) * s[1] + c)]);
      }
  return result;
}

double error_of(const Graph& graph, Mode mode, Isa isa, std::uint64_t seed) {
  Executor executor(graph, mode, isa, seed);
  std::vector<Tensor> inputs;
  for (const Node& node : graph.nodes()) {
    if (!std::holds_alternative<Input>(node.op)) continue;
    inputs.push_back(to_nchw(executor.input(inputs.size()), node.shape));
  }
  const Tensor expected = Reference(graph, executor).run(inputs);
  executor.run();
  executor.run();  // nothing of the first run may leak into the second
  const Tensor got = to_nchw(executor.output(), graph.nodes().back().shape);
  if (got.size() != expected.size()) return std::numeric_limits<double>::infinity();
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference += (got[i] - expected[i]) * (got[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

int conv_norm_relu(Graph& g, int x, std::int64_t c_out, std::int64_t k, std::int64_t stride = 1,
                   std::int64_t groups = 1, Activation f = Activation::relu, bool bias = false) {
  const std::int64_t pad = k / 2;
  x = g.conv2d(
      x, {.c_out = c_out,
          .window = {.kernel = {k, k}, .stride = {stride, stride}, .pad = {pad, pad, pad, pad}},
          .groups = groups,
          .bias = bias});
  x = g.batch_norm(x);
  return f == Activation::none ? x : g.activation(x, f);
}

Graph residual() {
  Graph g("residual");
  const int stem = conv_norm_relu(g, g.input({2, 3, 23, 19}), 16, 3, 2);
  const int branch =
      conv_norm_relu(g, conv_norm_relu(g, stem, 24, 1), 16, 3, 1, 1, Activation::none, true);
  const int x = g.activation(g.add(branch, stem), Activation::relu);
  const int wide = conv_norm_relu(g, x, 48, 1, 1, 1, Activation::relu6);
  const int depth = conv_norm_relu(g, wide, 48, 5, 2, 48, Activation::relu6);
  g.add(depth, conv_norm_relu(g, wide, 48, 1, 2, 4, Activation::none));
  return g;
}

Graph dense() {
  Graph g("dense");
  const int x = g.input({2, 16, 12, 11});
  const int a = g.activation(g.batch_norm(x), Activation::relu);  // a norm that leads its row
  const int b =
      g.conv2d(a, {.c_out = 7, .window = {.kernel = {1, 3}, .pad = {0, 0, 1, 1}}, .bias = true});
  const int c = g.concat({x, b, x});  // one tensor twice, odd channel counts
  const int d =
      g.conv2d(g.batch_norm(c),
               {.c_out = 9, .window = {.kernel = {3, 3}, .pad = {2, 1, 0, 3}, .dilation = {2, 1}}});
  g.concat({d, g.activation(d, Activation::tanh)});
  return g;
}

Graph pools() {
  Graph g("pools");
  const int x = g.input({2, 13, 15, 14});
  const int a = g.pool(
      x, {.window = {.kernel = {3, 3}, .stride = {2, 2}, .pad = {1, 0, 0, 1}}, .ceil_mode = true});
  const int b = g.pool(a, {.kind = PoolOp::Kind::average,
                           .window = {.kernel = {3, 2}, .stride = {2, 2}, .pad = {1, 1, 1, 0}},
                           .ceil_mode = true});
  g.pool(b, {.kind = PoolOp::Kind::average,
             .window = {.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}},
             .count_include_pad = false});
  return g;
}

Graph gates() {
  Graph g("gates");
  const int x = conv_norm_relu(g, g.input({2, 8, 9, 10}), 24, 3, 1, 1, Activation::silu);
  const int squeezed = g.conv2d(g.global_avg_pool(x), {.c_out = 6, .bias = true});
  const int gate = g.conv2d(g.activation(squeezed, Activation::silu), {.c_out = 24, .bias = true});
  const int y = g.mul(x, g.activation(gate, Activation::sigmoid));
  const int z = g.mul(y, g.activation(y, Activation::hardswish));
  g.softmax(g.batch_norm(g.activation(z, Activation::gelu)));
  return g;
}

Graph classifier() {
  Graph g("classifier");
  const int x = g.pool(g.input({3, 6, 8, 10}), {.window = {.kernel = {2, 2}, .stride = {2, 2}}});
  // Flattened with pixels: the weights' columns must follow NHWC.
  const int flat = g.activation(g.flatten(x), Activation::relu);
  const int hidden =
      g.activation(g.batch_norm(g.linear(flat, {.out_features = 37})), Activation::relu6);
  g.softmax(g.linear(g.batch_norm(hidden), {.out_features = 10, .bias = true}));
  return g;
}

Graph two_inputs() {
  Graph g("two inputs");
  const int a = g.input({1, 4, 5, 6});
  const int b = g.input({1, 4, 5, 6});
  const int unused =
      g.activation(a, Activation::relu);  // no consumer: must not be overwritten into
  static_cast<void>(unused);
  g.add(g.mul(a, b), b);
  return g;
}

void test_values() {
  const std::vector<std::function<Graph()>> makers{residual, dense,      pools,
                                                   gates,    classifier, two_inputs};
  for (const auto& make : makers) {
    const Graph graph = make();
    for (const Mode mode : {Mode::fused, Mode::eager}) {
      for (const Isa isa : available_isas()) {
        for (const std::uint64_t seed : {0, 7}) {
          const double error = error_of(graph, mode, isa, seed);
          CHECK_MESSAGE(error < 5e-6, graph.name() + " " + std::string(to_string(mode)) + " " +
                                          std::string(to_string(isa)) + ": " +
                                          std::to_string(error));
        }
      }
    }
  }
}

/// A chain so deep that its tensors share memory many times over, and neither fade nor overflow.
void test_depth() {
  Graph g("deep");
  int x = conv_norm_relu(g, g.input({1, 3, 8, 8}), 16, 3);
  for (int i = 0; i < 60; ++i) {
    const int y = conv_norm_relu(g, conv_norm_relu(g, x, 16, 1), 16, 3, 1, 16, Activation::none);
    x = i % 2 == 0 ? g.activation(g.add(x, y), Activation::relu) : y;
  }
  CHECK(error_of(g, Mode::fused, best_isa(), 3) < 1e-4);
  CHECK(error_of(g, Mode::eager, best_isa(), 3) < 1e-4);
  Executor executor(g);
  executor.run();
  double largest = 0.0;
  for (const float value : executor.output()) {
    largest = std::max(largest, std::abs(static_cast<double>(value)));
  }
  CHECK(std::isfinite(largest));
  CHECK(largest > 1e-6);
  // 60 blocks of four 4 KiB tensors: an arena keeps a few of them.
  const std::int64_t weights = 60 * (16 * 16 + 16 * 9 + 2 * 16) * 4;
  CHECK(executor.memory_bytes() < 4 * weights + 40 * 4096);
}

void test_executor_interface() {
  Executor executor(residual());
  std::vector<double> times(executor.work().size());
  executor.run_timed(times);
  CHECK(std::all_of(times.begin(), times.end(), [](double t) { return t > 0.0; }));
  times.pop_back();
  CHECK_RAISES(executor.run_timed(times), ShapeError, "row_times_s");
  CHECK_RAISES(executor.input(1), ShapeError, "1 inputs");
  CHECK(executor.input().size() == 2 * 3 * 23 * 19);

  // The same seed, the same numbers; another seed, others.
  Executor again(residual()), other(residual(), Mode::fused, best_isa(), 1);
  for (Executor* each : {&executor, &again, &other}) each->run();
  CHECK(std::equal(executor.output().begin(), executor.output().end(), again.output().begin()));
  CHECK(!std::equal(executor.output().begin(), executor.output().end(), other.output().begin()));
}

void test_unsupported() {
  Graph unknown("unknown");
  unknown.unknown({unknown.input({1, 3, 4, 4})}, "RoiAlign", {1, 3, 2, 2}, "head.roi");
  CHECK_RAISES(Executor{unknown}, UnsupportedError, "head.roi");

  Graph half("half", DType::fp16);
  half.conv2d(half.input({1, 3, 4, 4}), {.c_out = 4}, "stem.conv");
  CHECK_RAISES(Executor{half}, UnsupportedError, "stem.conv");
  CHECK_RAISES(Executor{half}, UnsupportedError, "fp16");

  Graph dilated("dilated");
  dilated.pool(dilated.input({1, 3, 9, 9}), {.window = {.kernel = {2, 2}, .dilation = {2, 2}}},
               "spp");
  CHECK_RAISES(Executor{dilated}, UnsupportedError, "spp");

  Graph flat("flat");
  flat.batch_norm(flat.flatten(flat.input({1, 3, 2, 2})), "norm1d");
  CHECK_RAISES(Executor{flat}, UnsupportedError, "norm1d");

  CHECK_RAISES(Executor{Graph("empty")}, UnsupportedError, "empty");
}

double bench_time(const OperatorSpec& spec, CacheState cache) {
  static const auto workbench = std::make_shared<Workbench>();
  Bench bench(graph_of(spec), workbench, best_isa(), cache);
  const std::int64_t iterations = Bench::iterations_for(bench.warm_up());
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 15; ++i) best = std::min(best, bench.sample(iterations).time_s);
  return best;
}

void test_bench() {
  const OperatorSpec once{
      .c_in = 64, .h_in = 28, .w_in = 28, .c_out = 64, .k_h = 3, .k_w = 3, .pad_h = 1, .pad_w = 1};
  OperatorSpec four = once;
  four.batch = 4;
  const double ratio =
      bench_time(four, CacheState::context) / bench_time(once, CacheState::context);
  CHECK_MESSAGE(ratio > 2.5 && ratio < 6.0, "four times the work takes " + std::to_string(ratio));

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  // A linear layer is its weights' way from memory: hot, they are in cache already. Under a
  // sanitizer it is the checks' way.
  const OperatorSpec linear{.op = "linear", .c_in = 512, .c_out = 256};
  CHECK(bench_time(linear, CacheState::context) > 1.2 * bench_time(linear, CacheState::hot));
#endif

  const auto workbench = std::make_shared<Workbench>(100'000'000);
  Bench small(graph_of(once), workbench);
  CHECK(small.memory_bytes() <= workbench->limit_bytes());
  CHECK(small.warm_up() > 0.0);
  const Sample sample = small.sample(3);
  CHECK(sample.iterations == 3 && sample.time_s > 0.0);
  CHECK(sample.wall_s >= 3 * sample.time_s * 0.99);
  CHECK(sample.clock_hz > 1e8 && sample.clock_hz < 2e10);
  CHECK_RAISES(small.sample(0), ShapeError, "at least 1");
  CHECK_RAISES(Bench(graph_of(once), workbench, best_isa(), CacheState::context, 1), ShapeError,
               "row 1");

  // Two that fit one at a time take turns.
  const OperatorSpec wide{.op = "relu", .c_in = 64, .h_in = 400, .w_in = 400};
  const OperatorSpec heavy{.op = "linear", .c_in = 4096, .c_out = 4096};
  Bench first(graph_of(wide), workbench), second(graph_of(heavy), workbench);
  for (int i = 0; i < 2; ++i) {
    CHECK(first.sample(1).time_s > 0.0);
    CHECK(workbench->memory_bytes() <= workbench->limit_bytes());
    CHECK(second.sample(1).time_s > 0.0);
    CHECK(workbench->memory_bytes() <= workbench->limit_bytes());
  }
  const OperatorSpec huge{.op = "relu", .c_in = 64, .h_in = 1000, .w_in = 1000};
  CHECK_RAISES(Bench(graph_of(huge), workbench), Error, "512000000 bytes");
}

void test_every_operator_has_a_bench() {
  const auto workbench = std::make_shared<Workbench>();
  for (const char* op : {"conv2d", "linear", "batch_norm", "max_pool", "avg_pool",
                         "global_avg_pool", "softmax", "add", "mul", "concat", "relu", "relu6",
                         "sigmoid", "silu", "hardsigmoid", "hardswish", "gelu", "tanh"}) {
    const bool windowed = std::string(op).find("_pool") != std::string::npos;
    const OperatorSpec spec{.op = op,
                            .c_in = 24,
                            .h_in = 8,
                            .w_in = 8,
                            .c_out = std::string(op) == "concat" ? 40 : 24,
                            .k_h = windowed ? 2 : 1,
                            .k_w = windowed ? 2 : 1};
    for (const CacheState cache : {CacheState::context, CacheState::hot}) {
      Bench bench(graph_of(spec), workbench, best_isa(), cache);
      CHECK_MESSAGE(bench.warm_up() >= 0.0 && bench.sample(50).time_s >= 0.0, op);
    }
  }
}

void test_iterations() {
  CHECK(Bench::iterations_for(1.0) == 1);
  CHECK(Bench::iterations_for(1e-6) * 1e-6 >= 200e-6 * 0.999);
  CHECK(Bench::iterations_for(1e-6) * 1e-6 >= 1000 * clock_resolution_s() * 0.999);
  CHECK(Bench::iterations_for(0.0) > 1);
  CHECK(parse_cache_state("hot") == CacheState::hot);
  CHECK_RAISES(parse_cache_state("cold"), UnsupportedError, "context or hot");
}

void test_system() {
  CHECK(clock_resolution_s() > 0.0 && clock_resolution_s() < 1e-3);
  CHECK(clock_cost_s() > 0.0 && clock_cost_s() < 1e-4);
  CHECK(steal_time_s() >= 0.0);
  CHECK(involuntary_switches() >= 0);
  CHECK(!system_info().cpu_model.empty());
  CHECK(system_info().memory_bytes > 0);
  const std::vector<int> before = thread_affinity();
  if (!before.empty()) {
    set_thread_affinity({before.back()});
    CHECK(current_cpu() == before.back());
    set_thread_affinity(before);
    CHECK(thread_affinity() == before);
    CHECK_RAISES(set_thread_affinity({}), Error, "bound");
  }
  const Peak peak = probe_peak(best_isa(), 0.05);
  CHECK(peak.flops_per_s > 1e8);
  CHECK(peak.bytes_read_per_s > 1e8);
}

}  // namespace

int main() {
  test_values();
  test_depth();
  test_executor_interface();
  test_unsupported();
  test_iterations();
  test_every_operator_has_a_bench();
  test_bench();
  test_system();
  return check::finish();
}
