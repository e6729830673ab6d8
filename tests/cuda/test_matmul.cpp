// Products of pairs of matrices, and attention made of them, against double precision.
#include <algorithm>
#include <cmath>
#include <limits>
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

namespace {

const auto products = emulate::kernels_of({"matmul_half.cuh", "matmul_fp32.cuh"});
const auto softmaxes = emulate::kernels_of({"stream_rows.cuh"});
const auto fused = emulate::kernels_of({"attention_fused.cuh"});

constexpr DType dtypes[] = {DType::fp32, DType::tf32, DType::fp16, DType::bf16};
const Target targets[] = {{75, false, 40, 64 << 10}, {90, true, 132, 227 << 10}};

/// Runs a plan on fresh memory for the result; it is compared where it may be written, and must
/// be poison elsewhere.
template <class Expected>
void check(const Plan& plan, const std::vector<emulate::Entry>& kernels, emulate::Buffers buffers,
           DType dtype, std::int64_t elements, const std::string& what, Shapes& shapes,
           const Expected& expected) {
  Memory y(static_cast<std::size_t>(elements * size_of(dtype)));
  Memory workspace(static_cast<std::size_t>(plan.workspace_bytes));
  emulate::at(buffers, Buffer::output) = &y;
  emulate::at(buffers, Buffer::workspace) = &workspace;
  emulate::block().seed(static_cast<unsigned>(shapes.random()));
  emulate::run_plan(plan, kernels, buffers);
  std::vector<double> got = emulate::read_back(y, dtype, elements), wanted(got.size());
  std::vector<bool> written(got.size(), false);
  expected([&](std::int64_t at, double value) {
    written[static_cast<std::size_t>(at)] = true;
    wanted[static_cast<std::size_t>(at)] = value;
  });
  bool beyond = false;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (written[i]) continue;
    beyond = beyond || !std::isnan(got[i]);
    got[i] = 0.0;
  }
  CHECK_MESSAGE(!beyond, what + ": wrote where it may not");
  const double error = emulate::relative_error(got, wanted);
  CHECK_MESSAGE(error <= emulate::bound(dtype), what + ": error " + std::to_string(error));
  CHECK_MESSAGE(y.guards_intact() && workspace.guards_intact(), what + ": wrote beyond a buffer");
}

/// Elements that such matrices are in.
std::int64_t extent(const MatmulProblem& p, const Matrices& m, std::int64_t rows,
                    std::int64_t columns) {
  return m.offset + (p.outer - 1) * m.outer + (p.inner - 1) * m.inner + (rows - 1) * m.row +
         (columns - 1) * m.column + 1;
}

/// Rows of `inner` matrices side by side, as heads are, or each matrix by itself.
Matrices draw_matrices(Shapes& shapes, Buffer buffer, std::int64_t inner, std::int64_t rows,
                       std::int64_t columns, std::int64_t gap) {
  Matrices m{buffer};
  if (shapes.draw(0, 1) == 0) {
    m.inner = columns, m.row = inner * columns + gap, m.outer = rows * m.row;
  } else {
    m.row = columns + gap, m.inner = rows * m.row, m.outer = inner * m.inner;
  }
  m.offset = gap;
  return m;
}

std::set<std::string> used;

void check_matmul(Shapes& shapes, DType dtype, const Target& target) {
  MatmulProblem p;
  p.dtype = dtype;
  p.outer = shapes.draw(1, 2), p.inner = shapes.draw(1, 3);
  const std::int64_t step = shapes.draw(0, 2) == 0 ? 1 : 8;
  const auto size = [&] { return step * shapes.draw(1, (step == 1 ? 90 : 160) / step); };
  p.rows = shapes.draw(1, 150), p.columns = size(), p.depth = size();
  const std::int64_t gap = step * shapes.draw(0, 1);
  p.a = draw_matrices(shapes, Buffer::input, p.inner, p.rows, p.depth, gap);
  p.c = draw_matrices(shapes, Buffer::output, p.inner, p.rows, p.columns, gap);
  const bool turned = shapes.draw(0, 1) == 1;
  p.b = draw_matrices(shapes, Buffer::second_input, p.inner, turned ? p.depth : p.columns,
                      turned ? p.columns : p.depth, gap);
  if (!turned) std::swap(p.b.row, p.b.column);
  if (shapes.draw(0, 3) == 0) p.b.outer = 0;  // one for all
  Tensor a(dtype, extent(p, p.a, p.rows, p.depth), shapes.random);
  Tensor b(dtype, extent(p, p.b, p.depth, p.columns), shapes.random);
  emulate::Buffers buffers{};
  emulate::at(buffers, Buffer::input) = &a.memory;
  emulate::at(buffers, Buffer::second_input) = &b.memory;
  const auto expected = [&](const auto& put) {
    for (std::int64_t o = 0; o < p.outer; ++o)
      for (std::int64_t i = 0; i < p.inner; ++i)
        for (std::int64_t r = 0; r < p.rows; ++r)
          for (std::int64_t c = 0; c < p.columns; ++c) {
            double sum = 0.0;
            for (std::int64_t d = 0; d < p.depth; ++d) {
              sum += a.values[static_cast<std::size_t>(p.a.offset + o * p.a.outer + i * p.a.inner +
                                                       r * p.a.row + d)] *
                     b.values[static_cast<std::size_t>(p.b.offset + o * p.b.outer + i * p.b.inner +
                                                       d * p.b.row + c * p.b.column)];
            }
            put(p.c.offset + o * p.c.outer + i * p.c.inner + r * p.c.row + c, sum);
          }
  };
  const std::vector<Plan> found = plans(p, target);
  const bool has_units = target.arch >= 80 || dtype != DType::bf16;
  CHECK(found.empty() != has_units);
  if (found.empty()) return;
  const Plan& plan = found[static_cast<std::size_t>(shapes.draw(0, 1)) % found.size()];
  used.insert(plan.launches[0].symbol);
  check(plan, products, buffers, dtype, extent(p, p.c, p.rows, p.columns),
        plan.launches[0].symbol + " " + std::to_string(p.rows) + " x " + std::to_string(p.depth) +
            " x " + std::to_string(p.columns),
        shapes, expected);
}

/// Leaves out most keys, all of the first tile at times, and never all of a query.
void hide_keys(Shapes& shapes, Tensor& mask, DType dtype, const AttentionProblem& p) {
  const std::int64_t first = p.is_causal || p.kv_length < 80 ? 0 : shapes.draw(0, 1) * 75;
  const std::int64_t kept = p.is_causal ? 0 : p.kv_length - 1;
  std::vector<bool> stays(mask.values.size(), false), goes(mask.values.size(), false);
  for (std::int64_t b = 0; b < p.batch; ++b)
    for (std::int64_t h = 0; h < p.heads; ++h)
      for (std::int64_t i = 0; i < p.length; ++i) {
        const std::int64_t row =
            p.mask.offset + b * p.mask.outer + h * p.mask.inner + i * p.mask.row;
        stays[static_cast<std::size_t>(row + kept)] = true;
        for (std::int64_t j = 0; j < first; ++j) goes[static_cast<std::size_t>(row + j)] = true;
      }
  for (std::size_t i = 0; i < mask.values.size(); ++i) {
    if (stays[i] || (!goes[i] && shapes.draw(0, 2) == 0)) continue;
    mask.values[i] = -std::numeric_limits<double>::infinity();
    if (size_of(dtype) == 4) {
      mask.memory.data<float>()[i] = -std::numeric_limits<float>::infinity();
    } else {
      mask.memory.data<unsigned short>()[i] = dtype == DType::fp16 ? 0xfc00 : 0xff80;
    }
  }
}

void check_attention(Shapes& shapes, DType dtype, const Target& target) {
  AttentionProblem p;
  p.dtype = dtype;
  p.batch = shapes.draw(1, 2), p.heads = shapes.draw(1, 3);
  const std::int64_t shared_heads = p.heads;  // of keys and values
  if (p.heads < 3 && shapes.draw(0, 1) == 0) p.group = shapes.draw(2, 3), p.heads *= p.group;
  p.length = shapes.draw(1, 70), p.kv_length = shapes.draw(0, 1) ? p.length : shapes.draw(1, 140);
  p.depth = shapes.pick<std::int64_t>({8, 20, 32, 32, 64, 128});
  p.v_depth = shapes.draw(0, 3) > 0 ? p.depth : shapes.pick<std::int64_t>({8, 24, 33});
  p.is_causal = p.length <= p.kv_length && shapes.draw(0, 1) == 1;
  const auto draw = [&](Buffer buffer, std::int64_t heads, std::int64_t rows,
                        std::int64_t columns) {
    return draw_matrices(shapes, buffer, heads, rows, columns, 8 * shapes.draw(0, 1));
  };
  p.q = draw(Buffer::input, p.heads, p.length, p.depth);
  p.k = draw(Buffer::second_input, shared_heads, p.kv_length, p.depth);
  p.v = draw(Buffer::third_input, shared_heads, p.kv_length, p.v_depth);
  p.y = draw(Buffer::output, p.heads, p.length, p.v_depth);
  p.has_mask = shapes.draw(0, 2) == 0;
  p.mask = draw(Buffer::mask, p.heads, p.length, p.kv_length);
  for (std::int64_t* step : {&p.mask.outer, &p.mask.inner, &p.mask.row}) {
    if (shapes.draw(0, 2) == 0) *step = 0;  // the same for all
  }
  MatmulProblem of, shared;
  of.outer = shared.outer = p.batch, of.inner = p.heads, shared.inner = shared_heads;
  Tensor q(dtype, extent(of, p.q, p.length, p.depth), shapes.random);
  Tensor k(dtype, extent(shared, p.k, p.kv_length, p.depth), shapes.random);
  Tensor v(dtype, extent(shared, p.v, p.kv_length, p.v_depth), shapes.random);
  Tensor mask(dtype, extent(of, p.mask, p.length, p.kv_length), shapes.random);
  hide_keys(shapes, mask, dtype, p);
  emulate::Buffers buffers{};
  emulate::at(buffers, Buffer::input) = &q.memory;
  emulate::at(buffers, Buffer::second_input) = &k.memory;
  emulate::at(buffers, Buffer::third_input) = &v.memory;
  if (p.has_mask) emulate::at(buffers, Buffer::mask) = &mask.memory;
  const auto expected = [&](const auto& put) {
    const auto at = [](const Tensor& t, const Matrices& m, std::int64_t b, std::int64_t h,
                       std::int64_t row, std::int64_t column) {
      return t.values[static_cast<std::size_t>(m.offset + b * m.outer + h * m.inner + row * m.row +
                                               column)];
    };
    for (std::int64_t b = 0; b < p.batch; ++b)
      for (std::int64_t h = 0; h < p.heads; ++h)
        for (std::int64_t i = 0; i < p.length; ++i) {
          const std::int64_t seen = p.is_causal ? p.kv_length - p.length + i + 1 : p.kv_length;
          std::vector<double> weight(static_cast<std::size_t>(seen), 0.0);
          for (std::int64_t j = 0; j < seen; ++j) {
            double& score = weight[static_cast<std::size_t>(j)];
            for (std::int64_t d = 0; d < p.depth; ++d) {
              score += at(q, p.q, b, h, i, d) * at(k, p.k, b, h / p.group, j, d);
            }
            score /= std::sqrt(static_cast<double>(p.depth));
            if (p.has_mask) score += at(mask, p.mask, b, h, i, j);
          }
          const double most = *std::max_element(weight.begin(), weight.end());
          double sum = 0.0;
          for (double& each : weight) sum += each = std::exp(each - most);
          for (std::int64_t c = 0; c < p.v_depth; ++c) {
            double value = 0.0;
            for (std::int64_t j = 0; j < seen; ++j) {
              value += weight[static_cast<std::size_t>(j)] / sum * at(v, p.v, b, h / p.group, j, c);
            }
            put(p.y.offset + b * p.y.outer + h * p.y.inner + i * p.y.row + c, value);
          }
        }
  };
  std::vector<emulate::Entry> kernels = products;
  kernels.insert(kernels.end(), softmaxes.begin(), softmaxes.end());
  kernels.insert(kernels.end(), fused.begin(), fused.end());
  const std::vector<Plan> found = plans(p, target);
  const bool has_units = target.arch >= 80 || dtype != DType::bf16;
  CHECK(found.empty() != has_units);
  for (const Plan& plan : found) {
    used.insert(plan.launches[0].symbol);
    check(plan, kernels, buffers, dtype, extent(of, p.y, p.length, p.v_depth),
          plan.algorithm + " " + plan.tile + (p.has_mask ? " masked " : " ") +
              std::to_string(p.length) + " x " + std::to_string(p.kv_length) + " x " +
              std::to_string(p.depth),
          shapes, expected);
  }
}

}  // namespace

int main() {
  Shapes shapes(11);
  constexpr int usual = 20 * static_cast<int>(std::size(dtypes) * std::size(targets));
  const int count = check::shape_count(usual);
  for (int i = 0; i < count; ++i) {
    const auto turn = static_cast<std::size_t>(i);
    const Target& target = targets[turn % std::size(targets)];
    const DType dtype = dtypes[turn / std::size(targets) % std::size(dtypes)];
    check_matmul(shapes, dtype, target);
    check_attention(shapes, dtype, target);
  }
  for (const auto* table : {&products, &fused}) {
    for (const emulate::Entry& kernel : *table) {
      CHECK_MESSAGE(used.count(kernel.symbol) == 1 || count < usual, kernel.symbol + " never ran");
    }
  }
  MatmulProblem bad;
  bad.a.column = 2;
  CHECK_RAISES(plans(bad, targets[1]), UnsupportedError, "strides 0 x 2");
  AttentionProblem masked;
  masked.length = 5, masked.kv_length = 4, masked.is_causal = true;
  CHECK_RAISES(plans(masked, targets[1]), ShapeError, "5 queries behind a causal mask of 4 keys");
  masked.is_causal = false, masked.heads = 6, masked.group = 4;
  CHECK_RAISES(plans(masked, targets[1]), ShapeError, "6 heads in groups of 4");
  masked.group = 3, masked.has_mask = true, masked.mask.column = 0;
  CHECK_RAISES(plans(masked, targets[1]), UnsupportedError, "columns of the mask are 0 apart");
  return check::finish();
}
