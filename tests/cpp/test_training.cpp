// Training steps and peak memory from C++: the first layer, what is shared, what does not fit.
#include <cstdint>

#include "alphaflops/error.hpp"
#include "alphaflops/liveness.hpp"
#include "alphaflops/training.hpp"
#include "check.hpp"

namespace {

using namespace alphaflops;

std::int64_t macs_of(const WorkTable& table, Pass pass) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < table.size(); ++i) sum += table.pass[i] == pass ? table.macs[i] : 0;
  return sum;
}

Graph two_layers() {
  Graph graph("two");
  const int x = graph.linear(graph.input({2, 3}), {.out_features = 4}, "first");
  graph.linear(graph.activation(x, Activation::relu), {.out_features = 5}, "last");
  return graph;
}

void test_passes() {
  const WorkTable table = lower(two_layers(), Mode::fused, {.optimizer = Optimizer::adam});
  CHECK(macs_of(table, Pass::forward) == 2 * (12 + 20));
  CHECK(macs_of(table, Pass::input_gradient) == 2 * 20);
  CHECK(macs_of(table, Pass::weight_gradient) == 2 * (12 + 20));
  CHECK(table.pass.back() == Pass::optimizer);
  CHECK(table.flops.back() == 13 * 20);
}

void test_memory() {
  const PeakMemory forward = peak_memory(two_layers(), Mode::eager);
  CHECK(forward.parameters == 4 * 32);
  CHECK(forward.activations == 4 * (6 + 8 + 10));
  CHECK(forward.total() == forward.parameters + forward.activations);
  const PeakMemory step = peak_memory(two_layers(), Mode::eager, Training{});
  CHECK(step.pass == Pass::input_gradient);
  CHECK(step.gradients == 4 * 20);
  CHECK(step.activations == 4 * (6 + 8 + 10 + 10 + 8));
}

void test_errors() {
  const Training backward{.accumulate = -1}, nameless{.frozen = {"none"}};
  CHECK_RAISES(lower(two_layers(), Mode::eager, backward), ShapeError, "accumulate is -1");
  CHECK_RAISES(peak_memory(two_layers(), Mode::eager, backward), ShapeError, "accumulate is -1");
  CHECK_RAISES(peak_memory(two_layers(), Mode::eager, nameless), UnsupportedError, "frozen 'none'");
  CHECK_RAISES(parse_optimizer("lion"), UnsupportedError, "lion");
  constexpr std::int64_t large = std::int64_t{1} << 31;
  Graph huge("huge");
  huge.linear(huge.input({large, 1}), {.out_features = large}, "huge");
  CHECK_RAISES(peak_memory(huge, Mode::eager), OverflowError, "huge");
  CHECK_RAISES(lower(huge, Mode::eager, Training{}), OverflowError, "huge");
  const Training endless{.accumulate = std::int64_t{1} << 40};
  CHECK_RAISES(lower(two_layers(), Mode::eager, endless), ShapeError, "at most 16384");
  // Its tensors fit as bytes; the statistics of its channels do not.
  Graph norm("norm", DType::int8);
  norm.batch_norm(norm.input({1, std::int64_t{1} << 60, 1, 1}), "norm");
  CHECK_RAISES(peak_memory(norm, Mode::eager), OverflowError, "norm: ");
  CHECK_RAISES(peak_memory(norm, Mode::eager, Training{}), OverflowError, "norm: ");
}

}  // namespace

int main() {
  test_passes();
  test_memory();
  test_errors();
  return check::finish();
}
