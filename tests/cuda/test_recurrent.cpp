// Layers of recurrences, run in the emulation step by step against references in double.
#include <cmath>
#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "alphaflops/error.hpp"
#include "buffer.hpp"
#include "conv_check.hpp"

using namespace alphaflops;
using namespace alphaflops::cuda;
using emulate::Memory;
using emulate::Shapes;
using emulate::Tensor;
using Values = std::vector<double>;

namespace {

const auto entries = emulate::kernels_of({"recurrent.cuh", "matmul_half.cuh", "matmul_fp32.cuh"});
constexpr DType dtypes[] = {DType::fp32, DType::tf32, DType::fp16, DType::bf16};
const Target targets[] = {{75, false, 40, 64 << 10}, {90, true, 132, 227 << 10}};
std::set<std::string> used;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

/// `rows` sums of products of a vector with rows of weights, from an element of each on.
Values times(const Tensor& weights, std::int64_t from, std::int64_t rows, const Values& x) {
  Values sums(static_cast<std::size_t>(rows), 0.0);
  for (std::size_t r = 0; r < sums.size(); ++r) {
    for (std::size_t i = 0; i < x.size(); ++i) {
      sums[r] += weights.values[static_cast<std::size_t>(from) + r * x.size() + i] * x[i];
    }
  }
  return sums;
}

struct Inputs {
  const Tensor &gates, &weights, &bias, &projection;
};

/// The states of one image and direction, each to `put(token, feature, value)`.
template <class Put>
void run_reference(const RecurrentProblem& p, const Inputs& in, std::int64_t image,
                   std::int64_t direction, const Put& put) {
  const std::int64_t gates = gates_of(p.cell) * p.hidden;
  const std::int64_t width = p.projection > 0 ? p.projection : p.hidden;
  const auto hidden = static_cast<std::size_t>(p.hidden);
  Values state(static_cast<std::size_t>(width), 0.0), memory(hidden, 0.0);
  for (std::int64_t step = 0; step < p.length; ++step) {
    const std::int64_t token = direction == 0 ? step : p.length - 1 - step;
    Values h = times(in.weights, direction * gates * width, gates, state);
    Values x(h.size());
    for (std::size_t i = 0; i < h.size(); ++i) {
      const std::int64_t row = (image * p.length + token) * p.directions + direction;
      x[i] = in.gates.values[static_cast<std::size_t>(row * gates) + i];
      if (p.bias) h[i] += in.bias.values[static_cast<std::size_t>(direction * gates) + i];
    }
    Values fresh(hidden);
    for (std::size_t j = 0; j < hidden; ++j) {
      const auto sum = [&](std::size_t gate) {
        return x[gate * hidden + j] + h[gate * hidden + j];
      };
      switch (p.cell) {
        case Cell::rnn: fresh[j] = std::tanh(sum(0)); break;
        case Cell::lstm:
          memory[j] = sigmoid(sum(1)) * memory[j] + sigmoid(sum(0)) * std::tanh(sum(2));
          fresh[j] = sigmoid(sum(3)) * std::tanh(memory[j]);
          break;
        case Cell::gru: {
          const double n = std::tanh(x[2 * hidden + j] + sigmoid(sum(0)) * h[2 * hidden + j]);
          const double z = sigmoid(sum(1));
          fresh[j] = (1.0 - z) * n + z * state[j];
          break;
        }
      }
    }
    state = p.projection == 0 ? fresh
                              : times(in.projection, direction * width * p.hidden, width, fresh);
    for (std::size_t j = 0; j < state.size(); ++j) {
      put(token, static_cast<std::int64_t>(j), state[j]);
    }
  }
}

/// Rows of weights below one over the root of the columns, as PyTorch draws them.
float limit(std::int64_t columns) { return 1.0f / std::sqrt(static_cast<float>(columns)); }

RecurrentProblem draw(Shapes& shapes, Cell cell, DType dtype) {
  RecurrentProblem p;
  p.cell = cell, p.dtype = dtype;
  p.batch = shapes.pick<std::int64_t>({1, 2, 7, 11});
  p.length = shapes.draw(1, 4), p.directions = shapes.draw(1, 2);
  p.hidden = shapes.draw(0, 1) == 0 ? shapes.draw(1, 40) : 8 * shapes.draw(1, 5);
  if (cell == Cell::lstm && shapes.draw(0, 2) == 0) p.projection = shapes.draw(1, 3) * 8 - 1;
  p.bias = shapes.draw(0, 2) > 0;
  return p;
}

void check_layer(Shapes& shapes, const RecurrentProblem& p, const Target& target) {
  const std::int64_t gates = gates_of(p.cell) * p.hidden;
  const std::int64_t width = p.projection > 0 ? p.projection : p.hidden;
  Tensor x(p.dtype, p.batch * p.length * p.directions * gates, shapes.random);
  Tensor weights(p.dtype, p.directions * gates * width, shapes.random, limit(width));
  Tensor projection(p.dtype, p.directions * width * p.hidden, shapes.random, limit(p.hidden));
  Tensor bias(DType::fp32, p.directions * gates, shapes.random);
  const std::int64_t states = p.batch * p.length * p.directions * width;
  Values expected(static_cast<std::size_t>(states));
  for (std::int64_t image = 0; image < p.batch; ++image) {
    for (std::int64_t direction = 0; direction < p.directions; ++direction) {
      run_reference(p, {x, weights, bias, projection}, image, direction,
                    [&](std::int64_t token, std::int64_t feature, double value) {
                      const std::int64_t row =
                          (image * p.length + token) * p.directions + direction;
                      expected[static_cast<std::size_t>(row * width + feature)] = value;
                    });
    }
  }
  const std::vector<Plan> found = plans(p, target);
  const bool has_products = target.arch >= 80 || p.dtype != DType::bf16;
  const bool wants_none = p.projection == 0 && p.length == 1;
  CHECK(found.size() == (has_products || wants_none ? 2U : p.projection > 0 ? 0U : 1U));
  for (const Plan& plan : found) {
    Memory y(static_cast<std::size_t>(states * size_of(p.dtype)));
    Memory workspace(static_cast<std::size_t>(plan.workspace_bytes));
    emulate::Buffers buffers{};
    emulate::at(buffers, Buffer::input) = &x.memory;
    emulate::at(buffers, Buffer::weights) = &weights.memory;
    emulate::at(buffers, Buffer::second_input) = &projection.memory;
    emulate::at(buffers, Buffer::bias) = p.bias ? &bias.memory : nullptr;
    emulate::at(buffers, Buffer::output) = &y;
    emulate::at(buffers, Buffer::workspace) = &workspace;
    emulate::block().seed(static_cast<unsigned>(shapes.random()));
    emulate::run_plan(plan, entries, buffers);
    for (const Launch& launch : plan.launches) used.insert(launch.symbol);
    const double error = emulate::relative_error(emulate::read_back(y, p.dtype, states), expected);
    const std::string what =
        plan.algorithm + " " + plan.tile + " " + std::string(to_string(p.dtype)) + " cell " +
        std::to_string(static_cast<int>(p.cell)) + " " + std::to_string(p.batch) + "x" +
        std::to_string(p.length) + "x" + std::to_string(p.directions) + "x" +
        std::to_string(p.hidden) + " to " + std::to_string(p.projection);
    CHECK_MESSAGE(error <= emulate::bound(p.dtype), what + ": error " + std::to_string(error));
    CHECK_MESSAGE(y.guards_intact() && workspace.guards_intact(), what + ": wrote beyond a buffer");
  }
}

}  // namespace

int main() {
  Shapes shapes(17);
  constexpr Cell cells[] = {Cell::rnn, Cell::lstm, Cell::gru};
  constexpr std::size_t ways = std::size(dtypes) * std::size(cells);
  const int usual = static_cast<int>(4 * ways * std::size(targets));
  const int count = check::shape_count(usual);
  for (int i = 0; i < count; ++i) {
    const auto turn = static_cast<std::size_t>(i);
    const Cell cell = cells[turn % std::size(cells)];
    const DType dtype = dtypes[turn / std::size(cells) % std::size(dtypes)];
    check_layer(shapes, draw(shapes, cell, dtype), targets[turn / ways % std::size(targets)]);
  }
  for (const emulate::Entry& kernel : entries) {
    if (kernel.header != "recurrent.cuh") continue;
    CHECK_MESSAGE(used.count(kernel.symbol) == 1 || count < usual, kernel.symbol + " never ran");
  }
  RecurrentProblem bad;
  bad.hidden = 0;
  CHECK_RAISES(plans(bad, targets[1]), ShapeError, "recurrence: a size is 0");
  bad.hidden = 8, bad.directions = 3;
  CHECK_RAISES(plans(bad, targets[1]), ShapeError, "3 directions; there are one or two");
  bad.directions = 1, bad.cell = Cell::gru, bad.projection = 4;
  CHECK_RAISES(plans(bad, targets[1]), ShapeError, "only an lstm has one");
  CHECK_RAISES(parse_cell("peephole"), UnsupportedError, "lstm");
  bad = {};
  bad.dtype = DType::int8;
  CHECK(plans(bad, targets[1]).empty());
  return check::finish();
}
