// The example of docs/operators.md, line by line, and the counts that follow from its sizes.
#include "alphaflops/error.hpp"
#include "check.hpp"

// example: begins
#include <alphaflops/graph.hpp>
#include <alphaflops/work.hpp>

using namespace alphaflops;

/// Words through an LSTM and a layer of attention to one score for every word of a table.
Graph language_model(std::int64_t batch, std::int64_t length) {
  const std::int64_t words = 1000, features = 64, heads = 4;
  Graph graph("language model", DType::fp16);
  const int tokens = graph.input({batch, length}, "tokens");
  const int table = graph.embedding(tokens, {.rows = words, .features = features}, "table");
  int x = graph.recurrent(
      table, {.cell = RecurrentOp::Cell::lstm, .hidden = features, .bidirectional = true}, "lstm");

  const int qkv = graph.linear(x, {.out_features = 3 * features, .bias = true}, "qkv");
  const Shape split{batch, heads, length, features / heads};
  const int q = graph.part(qkv, split), k = graph.part(qkv, split), v = graph.part(qkv, split);
  x = graph.attention({q, k, v}, {.scores = AttentionOp::Scores::causal}, "attention");

  x = graph.norm(graph.view(x, {batch, length, features}), {.kind = NormOp::Kind::rms}, "norm");
  const int columns = graph.part(table, {batch, features, length}, "columns");
  graph.matmul(x, columns, "similarity");
  const int scores = graph.linear(x, {.out_features = words}, "scores");
  graph.tie(scores, table);
  return graph;
}
// example: ends

namespace {

void test_counts() {
  const std::int64_t n = 2, l = 5, f = 64;
  const WorkTable work = lower(language_model(n, l), Mode::eager);
  std::int64_t macs = 0, params = 0;
  for (std::size_t i = 0; i < work.size(); ++i) macs += work.macs[i], params += work.params[i];
  const std::int64_t lstm = n * l * 2 * 4 * f * (f + f);
  const std::int64_t qkv = n * l * 2 * f * 3 * f, seen = l * (l + 1) / 2;
  CHECK(macs == lstm + qkv + n * seen * 2 * f + n * l * l * f + n * l * f * 1000);
  CHECK(params == 1000 * f + 2 * (4 * f * 2 * f + 2 * 4 * f) + 2 * f * 3 * f + 3 * f + 2 * f);
}

void test_shapes_that_do_not_fit() {
  Graph graph("wrong");
  const int x = graph.input({2, 4, 5, 16}, "x");
  CHECK_RAISES(graph.matmul(x, x, "product"), ShapeError, "product: operands have shapes");
  CHECK_RAISES(graph.attention({x, x}, {}, "heads"), ShapeError, "heads: 2 operands");
  CHECK_RAISES(graph.recurrent(x, {}, "cell"), ShapeError, "cell: the input has shape");
}

}  // namespace

int main() {
  test_counts();
  test_shapes_that_do_not_fit();
  return check::finish();
}
