// The executor against a reference in double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "alphaflops/executor.hpp"
#include "check.hpp"
#include "graph_reference.hpp"

using namespace alphaflops;

namespace {

using check::Reference;
using check::Tensor;
using check::to_nchw;

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

/// Tensors handed on as views of their own shape, views of views too, or as they are. The same
/// nodes stand at the same places, so that weights are the same.
Graph handed_on(bool as_views) {
  Graph g("handed on");
  const auto on = [&](int x) {
    const Shape shape = g.node(x).shape;
    const int view = g.view(g.view(x, shape), shape);
    return as_views ? view : x;
  };
  const int image = on(g.input({2, 6, 13, 10}));
  const int stem = on(conv_norm_relu(g, image, 9, 3));  // read to the end
  const int depth = on(conv_norm_relu(g, stem, 9, 5, 1, 9, Activation::silu));
  const int peak =
      on(g.pool(depth, {.window = {.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}}}));
  const int sum = on(g.activation(on(g.add(peak, depth)), Activation::relu));
  const int norm = on(g.batch_norm(on(g.conv2d(sum, {.c_out = 9}))));
  const int gate = on(g.activation(
      g.conv2d(on(g.global_avg_pool(norm)), {.c_out = 9, .bias = true}), Activation::sigmoid));
  const int all = on(g.concat({stem, g.mul(norm, gate), image, stem}));
  const int flat = on(g.activation(on(g.flatten(all)), Activation::tanh));  // pixel by pixel
  const int hidden = on(g.linear(flat, {.out_features = 21}));
  on(g.softmax(on(g.linear(on(g.add(hidden, hidden)), {.out_features = 10, .bias = true}))));
  return g;
}

Graph views() { return handed_on(true); }

/// The last tensor is a view of an image that another layer reads before.
Graph last_view() {
  Graph g("last view");
  const int x = conv_norm_relu(g, g.input({1, 3, 9, 7}), 5, 3);
  const int sum = g.add(x, g.batch_norm(x));
  static_cast<void>(g.element({sum}, "fill", g.node(sum).shape));
  g.view(x, g.node(x).shape);
  return g;
}

Graph zeros() {
  Graph g("zeros");
  const int x = g.input({2, 3, 5, 4});
  const int none = g.element({x}, "fill", {2, 4, 5, 4});
  g.concat({x, g.conv2d(none, {.c_out = 3, .bias = true}), none});
  return g;
}

void test_values() {
  const std::vector<std::function<Graph()>> makers{residual,   dense, pools,     gates, classifier,
                                                   two_inputs, views, last_view, zeros};
  for (const auto& make : makers) {
    const Graph graph = make();
    for (const Mode mode : {Mode::fused, Mode::fused_relu, Mode::eager}) {
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

/// Bit by bit, with as many launches and as much memory.
void test_views() {
  for (const Mode mode : {Mode::fused, Mode::fused_relu, Mode::eager}) {
    Executor viewed(handed_on(true), mode), direct(handed_on(false), mode);
    CHECK(viewed.work().size() == direct.work().size());
    CHECK(viewed.memory_bytes() == direct.memory_bytes());
    for (Executor* each : {&viewed, &direct}) each->run();
    CHECK(std::ranges::equal(viewed.output(), direct.output()));
  }
  Graph alone("alone");
  alone.view(alone.input({1, 2, 3, 3}), {1, 2, 3, 3});
  Executor executor(alone);
  executor.run();
  CHECK(executor.output().data() == executor.input().data());
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

  // Channels lie last in memory: what another shape makes of them, no kernel reads.
  Graph reshaped("reshaped");
  reshaped.conv2d(reshaped.view(reshaped.input({1, 8, 4, 4}), {1, 16, 2, 4}, "fold"), {.c_out = 4});
  CHECK_RAISES(Executor{reshaped}, UnsupportedError, "fold: a view of [1, 8, 4, 4]");
  Graph sequence("sequence");
  sequence.softmax(sequence.view(sequence.input({1, 8, 4, 4}), {1, 8, 16}, "tokens"));
  CHECK_RAISES(Executor{sequence}, UnsupportedError, "tokens: a view of [1, 8, 4, 4]");
  Graph unflattened("unflattened");
  unflattened.conv2d(unflattened.view(unflattened.input({1, 48}), {1, 3, 4, 4}, "image"),
                     {.c_out = 4});
  CHECK_RAISES(Executor{unflattened}, UnsupportedError, "image: a view of [1, 48]");
  Graph twice("twice");
  const int first = twice.flatten(twice.input({1, 3, 4, 4}));
  twice.conv2d(twice.view(first, {1, 3, 4, 4}, "again"), {.c_out = 4});
  CHECK_RAISES(Executor{twice}, UnsupportedError, "again: a view of [1, 48]");

  CHECK_RAISES(Executor{Graph("empty")}, UnsupportedError, "empty");
}

}  // namespace

int main() {
  test_values();
  test_depth();
  test_views();
  test_executor_interface();
  test_unsupported();
  return check::finish();
}
