// Graphs and work tables from C++: shapes, counts, folding, and the errors of impossible sizes.
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "alphaflops/error.hpp"
#include "alphaflops/graph.hpp"
#include "alphaflops/work.hpp"
#include "check.hpp"

namespace {

using namespace alphaflops;

constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max();

void test_output_extent() {
  using Extent = std::array<std::int64_t, 2>;
  const Window same{.kernel = {3, 3}, .stride = {1, 1}, .pad = {1, 1, 1, 1}};
  CHECK((output_extent("x", 7, 9, same) == Extent{7, 9}));
  const Window halved{.kernel = {2, 2}, .stride = {2, 2}};
  CHECK((output_extent("x", 7, 8, halved) == Extent{3, 4}));
  CHECK((output_extent("x", 7, 8, halved, true) == Extent{4, 4}));
  // A third window along each axis would start in the padding after the image: there is none.
  const Window padded{.kernel = {2, 2}, .stride = {3, 3}, .pad = {1, 1, 1, 1}};
  CHECK((output_extent("x", 5, 5, padded, true) == Extent{2, 2}));
  const Window asymmetric{.kernel = {2, 3}, .pad = {0, 1, 2, 0}, .dilation = {2, 1}};
  CHECK((output_extent("x", 4, 4, asymmetric) == Extent{3, 4}));
  CHECK_RAISES(output_extent("far", 4, 4, {.kernel = {5, 1}}), ShapeError,
               "far: the kernel spans 5");
  CHECK_RAISES(output_extent("wide", 4, huge, {.pad = {0, 0, 1, 0}}), OverflowError, "wide");
  CHECK_RAISES(output_extent("thin", 4, 0, {}), ShapeError, "thin: w_in is 0");
}

Graph small() {
  Graph graph("small");
  int x = graph.input({2, 3, 8, 8}, "image");
  const int conv =
      graph.conv2d(x, {.c_out = 4, .window = {.kernel = {3, 3}, .pad = {1, 1, 1, 1}}}, "conv");
  x = graph.activation(graph.batch_norm(conv, "norm"), Activation::relu, "relu");
  x = graph.add(x, graph.conv2d(x, {.c_out = 4}, "side"), "sum");
  x = graph.flatten(graph.global_avg_pool(x, "pool"), "flat");
  graph.linear(x, {.out_features = 10, .bias = true}, "head");
  return graph;
}

void test_counts_and_folding() {
  const Graph graph = small();
  const WorkTable fused = lower(graph);
  const WorkTable eager = lower(graph, Mode::eager);
  CHECK(fused.size() == 5);  // conv with norm and relu, side, sum, pool, head
  CHECK(eager.size() == 7);
  std::int64_t macs = 0, params = 0, eager_macs = 0, eager_params = 0;
  for (std::size_t i = 0; i < fused.size(); ++i) macs += fused.macs[i], params += fused.params[i];
  for (std::size_t i = 0; i < eager.size(); ++i) {
    eager_macs += eager.macs[i];
    eager_params += eager.params[i];
  }
  CHECK(macs == 2 * (64 * 4 * 27 + 64 * 4 * 4 + 40));
  CHECK(params == 4 * 27 + 8 + 16 + 50);
  CHECK(macs == eager_macs && params == eager_params);
  CHECK((fused.folded[0] == std::vector<int>{2, 3}));
  CHECK(fused.flops[0] == 2 * fused.macs[0] + 2 * fused.elements_written[0]);
  CHECK(fused.weights_read[0] == 4 * 27 + 4);  // the norm is a bias by then
  CHECK(fused.row(0).kind == Kind::conv_spatial);
  CHECK(graph.consumers()[3].size() == 2);
}

void test_views() {
  Graph graph("views");
  const int x = graph.input({2, 6, 4}, "x");
  const int view = graph.view(x, {4, 2, 6}, "view");
  const int odd = graph.unknown({view}, "Transpose", {2, 6, 4}, "odd");
  const Graph again = graph.with_batch(6);
  CHECK((again.node(view).shape == Shape{12, 2, 6}));
  CHECK((again.node(odd).shape == Shape{6, 6, 4}));
  CHECK(lower(graph).size() == 1);
  CHECK_RAISES(graph.view(x, {47}, "bad"), ShapeError, "bad: the input has shape [2, 6, 4]");
  CHECK_RAISES(graph.view(x, {-2, -24}, "bad"), ShapeError, "bad: dimension 0 is -2");
  const int scalar = graph.unknown({x}, "Sum", {}, "scalar");
  CHECK_RAISES(graph.linear(scalar, {}, "bad"), ShapeError, "bad: the input is a scalar");
  CHECK_RAISES(graph.flatten(scalar, "bad"), ShapeError, "bad: the input is a scalar");
  CHECK(lower(graph).size() == 2);
  graph.unknown({x}, "Transpose", {3, 16}, "mixed");
  CHECK_RAISES(graph.with_batch(4), ShapeError, "mixed: the leading size of [3, 16]");
  CHECK_RAISES(graph.with_batch(0), ShapeError, "batch is 0");
}

void test_overflow() {
  Graph graph("huge");
  CHECK_RAISES(graph.input({huge, 2}, "x"), OverflowError, "x: output");
  const int x = graph.input({1, 1 << 20, 1 << 10, 1 << 10}, "image");
  graph.conv2d(x, {.c_out = 1 << 22}, "wide");
  CHECK_RAISES(lower(graph), OverflowError, "wide");
  CHECK_RAISES(conv_work({.batch = huge, .c_in = 2}), OverflowError, "conv2d");
  CHECK_RAISES(conv_work({.c_out = 0}), ShapeError, "c_out is 0");
  CHECK_RAISES(graph.node(99), ShapeError, "tensor 99");
}

void test_calls() {
  Graph graph = small();
  const std::size_t launches = lower(graph, Mode::eager).size();
  graph.set_calls(12);
  CHECK(lower(graph, Mode::fused).size() == lower(small(), Mode::fused).size());
  const WorkTable eager = lower(graph.with_batch(3), Mode::eager);
  CHECK(eager.size() == launches + 1);
  const Work calls = eager.row(launches);
  CHECK(calls.kind == Kind::call);
  CHECK(steps_of(calls) == 12);
  CHECK(steps_of(one_step(calls)) == 1);
  CHECK(calls.macs == 0 && calls.flops == 0 && calls.activations_read == 0);
  CHECK(eager.node[launches] == -1);
  CHECK_RAISES(graph.set_calls(-1), ShapeError, "calls is -1");
}

void test_names() {
  for (int i = 0; i < kind_count; ++i) {
    const Kind kind = static_cast<Kind>(i);
    CHECK(parse_kind(to_string(kind)) == kind);
  }
  CHECK(parse_mode("eager") == Mode::eager);
  CHECK_RAISES(parse_mode("lazy"), UnsupportedError, "lazy");
  CHECK_RAISES(parse_kind("conv"), UnsupportedError, "conv_1x1");
  const Graph graph = small();
  CHECK(op_name(graph.node(1).op) == "conv2d");
  CHECK(graph.with_dtype(DType::fp16).dtype() == DType::fp16);
  CHECK(graph.with_batch(5).batch() == 5);
}

}  // namespace

int main() {
  test_output_extent();
  test_counts_and_folding();
  test_views();
  test_overflow();
  test_calls();
  test_names();
  return check::finish();
}
