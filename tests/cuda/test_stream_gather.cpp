// Copies by index, run in the emulation: the elements must be the very ones.
#include <array>
#include <cstring>
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

namespace {

const Target target{80, false, 108, 163 * 1024};
const auto kernels = emulate::kernels_of({"stream_gather.cuh"});

void check(const StreamProblem& problem, emulate::Buffers buffers,
           const std::vector<double>& expected, unsigned seed) {
  const std::vector<Plan> found = plans(problem, target);
  CHECK(found.size() == 1);
  const auto count = static_cast<std::int64_t>(expected.size());
  Memory y(static_cast<std::size_t>(count * size_of(problem.dtype)));
  emulate::at(buffers, Buffer::output) = &y;
  emulate::block().seed(seed);
  emulate::run_plan(found[0], kernels, buffers);
  const std::string what = found[0].launches[0].symbol + " of " + std::to_string(count);
  CHECK_MESSAGE(emulate::read_back(y, problem.dtype, count) == expected, what);
  CHECK_MESSAGE(y.guards_intact(), what + ": wrote beyond the output");
}

/// A tensor of up to five axes, some of them exchanged, cut, padded or rolled.
void check_axes(Shapes& shapes, DType dtype) {
  std::array<std::int64_t, 5> extent{}, dense{};
  for (std::int64_t& size : extent) size = shapes.draw(1, 6);
  extent[4] = shapes.pick<std::int64_t>({1, 3, 16, 24});
  dense[4] = 1;
  for (std::size_t i = 4; i > 0; --i) dense[i - 1] = dense[i] * extent[i];
  StreamProblem problem;
  problem.stream = Stream::copy_axes;
  problem.dtype = dtype;
  Axes& axes = problem.axes;
  std::array<std::size_t, 5> from{0, 1, 2, 3, 4};
  std::shuffle(from.begin(), from.end() - (shapes.draw(0, 2) == 0 ? 0 : 1), shapes.random);
  for (std::size_t i = 0; i < 5; ++i) {
    axes.extent[i] = extent[from[i]];
    axes.stride[i] = dense[from[i]];
    const std::int64_t kind = i == 4 && shapes.draw(0, 2) > 0 ? 0 : shapes.draw(0, 3);
    axes.size[i] = axes.extent[i];
    if (kind == 1) axes.size[i] = shapes.draw(1, axes.extent[i]);       // cut
    if (kind == 2) axes.size[i] += shapes.draw(0, 3);                   // padded
    if (kind == 3) axes.shift[i] = shapes.draw(0, axes.extent[i] - 1);  // rolled
  }
  axes.offset = shapes.draw(0, 1) * 16;
  Tensor x(dtype, axes.offset + dense[0] * extent[0], shapes.random);
  std::vector<double> expected;
  std::array<std::int64_t, 5> at{};
  const auto append = [&](const auto& self, std::size_t axis) -> void {
    if (axis == 5) {
      std::int64_t place = axes.offset;
      bool inside = true;
      for (std::size_t i = 0; i < 5; ++i) {
        std::int64_t index = at[i] + axes.shift[i];
        if (axes.shift[i] > 0) index %= axes.extent[i];
        inside = inside && index < axes.extent[i];
        place += index * axes.stride[i];
      }
      expected.push_back(inside ? x.values[static_cast<std::size_t>(place)] : 0.0);
      return;
    }
    for (at[axis] = 0; at[axis] < axes.size[axis]; ++at[axis]) self(self, axis + 1);
  };
  append(append, 0);
  emulate::Buffers buffers{};
  emulate::at(buffers, Buffer::input) = &x.memory;
  check(problem, buffers, expected, static_cast<unsigned>(shapes.random()));
}

void check_lookup(Shapes& shapes, DType dtype) {
  StreamProblem problem;
  problem.stream = Stream::lookup;
  problem.dtype = dtype;
  problem.table_rows = shapes.draw(1, 50);
  problem.shape.batch = shapes.draw(1, 5), problem.shape.w_in = shapes.draw(1, 30);
  problem.shape.channels = shapes.pick<std::int64_t>({1, 5, 32, 48, 768});
  Tensor table(dtype, problem.table_rows * problem.shape.channels, shapes.random);
  const std::int64_t count = problem.shape.batch * problem.shape.w_in;
  Memory indices(static_cast<std::size_t>(count * 4));
  std::vector<double> expected;
  for (std::int64_t i = 0; i < count; ++i) {
    const auto index = static_cast<unsigned>(shapes.random());  // any bits
    std::memcpy(indices.data<int>() + i, &index, 4);
    const std::int64_t row = (index & 0x7fffffffu) % problem.table_rows;
    for (std::int64_t c = 0; c < problem.shape.channels; ++c) {
      expected.push_back(table.values[static_cast<std::size_t>(row * problem.shape.channels + c)]);
    }
  }
  emulate::Buffers buffers{};
  emulate::at(buffers, Buffer::input) = &indices;
  emulate::at(buffers, Buffer::weights) = &table.memory;
  check(problem, buffers, expected, static_cast<unsigned>(shapes.random()));
}

}  // namespace

int main() {
  Shapes shapes(5);
  for (int i = 0; i < check::shape_count(60); ++i) {
    for (const DType dtype : {DType::fp32, DType::tf32, DType::fp16, DType::bf16, DType::int8}) {
      check_axes(shapes, dtype);
      check_lookup(shapes, dtype);
    }
  }
  StreamProblem bad;
  bad.stream = Stream::copy_axes;
  bad.axes.shift[2] = 1;
  CHECK_RAISES(plans(bad, target), ShapeError, "axis 2 has size 1, extent 1 and shift 1");
  bad.stream = Stream::lookup;
  CHECK_RAISES(plans(bad, target), ShapeError, "table_rows 0");
  return check::finish();
}
