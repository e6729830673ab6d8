// Plans of recurrences: launches for every step. What tokens bring was multiplied beforehand.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "conv_common.hpp"
#include "kernels/recurrent_params.cuh"
#include "matmul.hpp"
#include "stream_common.hpp"

namespace alphaflops::cuda {

int gates_of(Cell cell) {
  constexpr std::array<int, cell_count> gates{1, 4, 3};
  return gates[static_cast<std::size_t>(cell)];
}

namespace {

using std::int64_t;

constexpr int64_t most_steps = 1 << 14;

/// Sizes, and where all of it lies in the workspace.
struct Layer {
  RecurrentProblem of;
  int64_t gates, width, states;  // features of a state, and states of a step
  int64_t memory = 0, products = 0, unprojected = 0, end = 0;  // bytes

  explicit Layer(const RecurrentProblem& problem)
      : of(problem),
        gates(gates_of(problem.cell) * problem.hidden),
        width(problem.projection > 0 ? problem.projection : problem.hidden),
        states(problem.directions * problem.batch) {
    const auto take = [this](int64_t bytes) { return std::exchange(end, end + aligned(bytes)); };
    const int64_t element = size_of(of.dtype);
    if (of.cell == Cell::lstm) {
      memory = take(states * of.hidden * static_cast<int64_t>(sizeof(float)));
    }
    products = take(states * gates * element);
    if (of.projection > 0) unprojected = take(states * of.hidden * element);
  }

  int64_t token() const { return of.directions * width; }
  int64_t image() const { return of.length * token(); }

  /// The states of every image behind so many steps, those of the other direction from the end on.
  Matrices states_after(int64_t steps) const {
    Matrices m{Buffer::output};
    m.row = image();
    m.offset = (steps - 1) * token();
    m.inner = (of.length + 1 - 2 * steps) * token() + width;
    return m;
  }

  Matrices in_workspace(int64_t at, int64_t columns) const {
    return {Buffer::workspace, 0, of.batch * columns, columns, 1, at / size_of(of.dtype)};
  }
};

/// Whether kernels can count all of it.
bool sizes_fit(const Layer& layer) {
  const RecurrentProblem& of = layer.of;
  return is_real(of.dtype) && of.length <= most_steps && of.batch <= most_index / 2 &&
         of.hidden <= most_index / 8 && layer.width <= most_index / 2 &&
         layer.states * layer.gates <= most_index;
}

/// A launch of one of the kernels of recurrent.cuh.
Launch cell_launch(const Layer& layer, int64_t step, const std::string& symbol) {
  const RecurrentProblem& of = layer.of;
  RecurrentParams p{};
  p.at_sums = {of.length * of.directions * layer.gates, of.directions * layer.gates, layer.gates};
  p.at_products = {layer.gates, 0, of.batch * layer.gates};
  p.at_before = p.at_output = {layer.image(), layer.token(), layer.width};
  if (of.projection > 0) p.at_output = {of.hidden, 0, of.batch * of.hidden};
  p.cell = static_cast<int>(of.cell), p.gates = gates_of(of.cell);
  p.batch = int_of(of.batch), p.length = int_of(of.length), p.directions = int_of(of.directions);
  p.hidden = int_of(of.hidden), p.width = int_of(layer.width), p.step = int_of(step);
  p.by_hidden = divisor(of.hidden), p.by_batch = divisor(of.batch);
  Launch launch;
  launch.symbol = symbol;
  launch.header = "recurrent.cuh";
  launch.parameters = bytes_of(p);
  launch.pointers = {{offsetof(RecurrentParams, sums), Buffer::input},
                     {offsetof(RecurrentParams, before), Buffer::output},
                     {offsetof(RecurrentParams, output), Buffer::output}};
  if (of.projection > 0) {
    launch.pointers.back() = {offsetof(RecurrentParams, output), Buffer::workspace,
                              layer.unprojected};
  }
  if (of.bias) launch.pointers.push_back({offsetof(RecurrentParams, bias), Buffer::bias});
  if (of.cell == Cell::lstm) {
    launch.pointers.push_back({offsetof(RecurrentParams, memory), Buffer::workspace, layer.memory});
  }
  return launch;
}

/// The products of the states behind so many steps with all of their weights.
std::vector<Launch> product_launches(const Layer& layer, int64_t steps, const Target& target) {
  const RecurrentProblem& of = layer.of;
  const Matrices weights{Buffer::weights, 0, layer.gates * layer.width, 1, layer.width};
  return matmul_launches(
      {1, of.directions, of.batch, layer.gates, layer.width, layer.states_after(steps), weights,
       layer.in_workspace(layer.products, layer.gates), of.dtype},
      target);
}

/// What a projection makes of the outputs of a step: its states.
std::vector<Launch> projections(const Layer& layer, int64_t step, const Target& target) {
  const RecurrentProblem& of = layer.of;
  const Matrices weights{Buffer::second_input, 0, layer.width * of.hidden, 1, of.hidden};
  return matmul_launches({1, of.directions, of.batch, layer.width, of.hidden,
                          layer.in_workspace(layer.unprojected, of.hidden), weights,
                          layer.states_after(step + 1), of.dtype},
                         target);
}

/// The launches of all steps: what `step` gives, and a projection. Nothing where one of them has no
/// kernel.
template <typename Step>
std::vector<Plan> plan_of(const Layer& layer, const Target& target, const std::string& algorithm,
                          const Step& step) {
  if (!sizes_fit(layer)) return {};
  Plan plan;
  for (int64_t i = 0; i < layer.of.length; ++i) {
    std::vector<Launch> found = step(i);
    if (found.empty()) return {};
    std::ranges::move(found, std::back_inserter(plan.launches));
    if (layer.of.projection == 0) continue;
    found = projections(layer, i, target);
    if (found.empty()) return {};
    plan.launches.push_back(std::move(found[0]));
  }
  plan.algorithm = algorithm;
  plan.workspace_bytes = layer.end;
  return {plan};
}

}  // namespace

/// A launch a step multiplies and finishes the cells.
std::vector<Plan> plan_recurrent_steps(const RecurrentProblem& problem, const Target& target) {
  const Layer layer(problem);
  const bool has_pieces = pack_width(problem.dtype, layer.width) > 1;
  const std::string tile = has_pieces ? "x16_r" + std::to_string(recurrent_rows) : "x1_r1";
  const std::string symbol = "recurrent_step_" + stream_dtype(problem.dtype) + "_" + tile;
  const int64_t rows = has_pieces ? recurrent_rows : 1;
  if (divide_up(problem.batch, rows) > most_blocks_y) return {};
  std::vector<Plan> plans = plan_of(layer, target, "recurrent_steps", [&](int64_t step) {
    Launch launch = cell_launch(layer, step, symbol);
    launch.grid = {static_cast<unsigned>(divide_up<int64_t>(problem.hidden, recurrent_units)),
                   static_cast<unsigned>(divide_up(problem.batch, rows)),
                   static_cast<unsigned>(problem.directions)};
    launch.block = {recurrent_units * 32, 1, 1};
    launch.pointers.push_back({offsetof(RecurrentParams, weights), Buffer::weights});
    return std::vector<Launch>{launch};
  });
  for (Plan& plan : plans) plan.tile = tile;
  return plans;
}

/// A step is a product of matrices and a launch for the cells.
std::vector<Plan> plan_recurrent_products(const RecurrentProblem& problem, const Target& target) {
  const Layer layer(problem);
  const std::string symbol = "recurrent_cell_" + stream_dtype(problem.dtype);
  std::string tile = "alone";
  std::vector<Plan> plans = plan_of(layer, target, "recurrent_products", [&](int64_t step) {
    std::vector<Launch> launches;
    if (step > 0) {  // behind a state of zeros there is nothing to multiply
      std::vector<Launch> found = product_launches(layer, step, target);
      if (found.empty()) return launches;
      tile = found[0].symbol.substr(found[0].symbol.find('_', 7) + 1);
      launches.push_back(std::move(found[0]));
    }
    Launch launch = cell_launch(layer, step, symbol);
    const int64_t features = layer.states * problem.hidden;
    launch.grid[0] = static_cast<unsigned>(blocks_for(features, recurrent_cell_threads));
    launch.block = {recurrent_cell_threads, 1, 1};
    launch.pointers.push_back(
        {offsetof(RecurrentParams, products), Buffer::workspace, layer.products});
    launches.push_back(std::move(launch));
    return launches;
  });
  for (Plan& plan : plans) plan.tile = tile;
  return plans;
}

}  // namespace alphaflops::cuda
