#include "alphaflops/work.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "alphaflops/error.hpp"
#include "product.hpp"

namespace alphaflops {
namespace {

constexpr std::array<std::string_view, 3> mode_names{"fused", "fused_relu", "eager"};
constexpr std::array<std::string_view, pass_count> pass_names{"forward", "input_gradient",
                                                              "weight_gradient", "optimizer"};
constexpr std::array<std::string_view, kind_count> kind_names{
    "conv_1x1",    "conv_spatial", "conv_grouped", "conv_transposed", "conv_3d",        "linear",
    "elementwise", "norm",         "pool",         "softmax",         "copy",           "matmul",
    "attention",   "recurrent",    "lstm",         "reduce",          "transcendental", "call",
    "unknown"};

}  // namespace

std::string_view to_string(Kind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

Kind parse_kind(std::string_view name) {
  for (std::size_t i = 0; i < kind_names.size(); ++i) {
    if (kind_names[i] == name) return static_cast<Kind>(i);
  }
  std::string known;
  for (const std::string_view n : kind_names) known += (known.empty() ? "" : ", ") + std::string(n);
  throw UnsupportedError("kind '" + std::string(name) + "' is not known; use one of " + known);
}

std::string_view to_string(Mode mode) { return mode_names[static_cast<std::size_t>(mode)]; }

Mode parse_mode(std::string_view name) {
  const auto found = std::ranges::find(mode_names, name);
  if (found != mode_names.end()) return static_cast<Mode>(found - mode_names.begin());
  throw UnsupportedError("mode '" + std::string(name) +
                         "' is not known; use fused, fused_relu or eager");
}

std::string_view to_string(Pass pass) { return pass_names[static_cast<std::size_t>(pass)]; }

Pass parse_pass(std::string_view name) {
  for (std::size_t i = 0; i < pass_names.size(); ++i) {
    if (pass_names[i] == name) return static_cast<Pass>(i);
  }
  throw UnsupportedError("pass '" + std::string(name) +
                         "' is not known; use forward, input_gradient, weight_gradient or "
                         "optimizer");
}

bool is_recurrence(Kind kind) { return kind == Kind::recurrent || kind == Kind::lstm; }

bool has_steps(Kind kind) { return is_recurrence(kind) || kind == Kind::call; }

std::int64_t steps_of(const Work& w) { return has_steps(w.kind) ? w.spatial : 1; }

Work one_step(const Work& w) {
  const std::int64_t steps = steps_of(w);
  if (steps <= 1) return w;
  const auto share = [](std::int64_t of, std::int64_t by) {
    return std::max<std::int64_t>(1, of / by + (of % by * 2 >= by ? 1 : 0));
  };
  Work step = w;
  step.spatial = step.width = 1;
  if (w.kind == Kind::call) return step;
  step.weights_read = share(w.weights_read, w.spatial / w.width);
  for (const auto member :
       {&Work::macs, &Work::flops, &Work::activations_read, &Work::elements_written}) {
    step.*member = share(w.*member, steps);
  }
  return step;
}

Work as_modelled(const Work& w, bool per_step) {
  if (per_step || w.kind == Kind::call) return one_step(w);
  Work whole = w;
  if (is_recurrence(w.kind)) whole.spatial = whole.width = 1;
  return whole;
}

void WorkTable::reserve(std::size_t rows) {
  kind.reserve(rows);
  op.reserve(rows);
  pass.reserve(rows);
  dtype.reserve(rows);
  for (auto* column : {&batch, &groups, &c_in, &c_out, &spatial, &width, &kernel_volume,
                       &kernel_width, &stride, &activations_read, &weights_read, &elements_written,
                       &padded_elements, &macs, &flops, &params}) {
    column->reserve(rows);
  }
  biased.reserve(rows);
  node.reserve(rows);
  folded.reserve(rows);
}

void WorkTable::append(const Work& w, int lead, std::vector<int> also) {
  kind.push_back(w.kind);
  op.push_back(w.op);
  pass.push_back(w.pass);
  dtype.push_back(w.dtype);
  batch.push_back(w.batch);
  groups.push_back(w.groups);
  c_in.push_back(w.c_in);
  c_out.push_back(w.c_out);
  spatial.push_back(w.spatial);
  width.push_back(w.width);
  kernel_volume.push_back(w.kernel_volume);
  kernel_width.push_back(w.kernel_width);
  stride.push_back(w.stride);
  activations_read.push_back(w.activations_read);
  weights_read.push_back(w.weights_read);
  elements_written.push_back(w.elements_written);
  padded_elements.push_back(w.padded_elements);
  biased.push_back(w.biased ? 1 : 0);
  macs.push_back(w.macs);
  flops.push_back(w.flops);
  params.push_back(w.params);
  node.push_back(lead);
  folded.push_back(std::move(also));
}

Work WorkTable::row(std::size_t i) const {
  return {.kind = kind.at(i),
          .pass = pass[i],
          .dtype = dtype[i],
          .batch = batch[i],
          .groups = groups[i],
          .c_in = c_in[i],
          .c_out = c_out[i],
          .spatial = spatial[i],
          .width = width[i],
          .kernel_volume = kernel_volume[i],
          .kernel_width = kernel_width[i],
          .stride = stride[i],
          .activations_read = activations_read[i],
          .weights_read = weights_read[i],
          .elements_written = elements_written[i],
          .padded_elements = padded_elements[i],
          .biased = biased[i] != 0,
          .macs = macs[i],
          .flops = flops[i],
          .params = params[i],
          .op = op[i]};
}

WorkTable WorkTable::take(std::span<const std::int64_t> rows) const {
  WorkTable taken;
  taken.reserve(rows.size());
  for (const std::int64_t i : rows) {
    if (i < 0 || static_cast<std::size_t>(i) >= size()) {
      throw ShapeError("row " + std::to_string(i) + " is not there; the work table has " +
                       std::to_string(size()) + " rows");
    }
    const auto at = static_cast<std::size_t>(i);
    taken.append(row(at), node[at], folded[at]);
  }
  return taken;
}

WorkTable join(std::span<const WorkTable* const> tables) {
  WorkTable all;
  std::size_t rows = 0;
  for (const WorkTable* table : tables) rows += table->size();
  all.reserve(rows);
  for (const WorkTable* table : tables) {
    for (std::size_t i = 0; i < table->size(); ++i) all.append(table->row(i));
  }
  return all;
}

std::int64_t padded_elements(const Shape& in, const Window& window, const char* what) {
  const auto& [top, bottom, left, right] = window.pad;
  if (top == bottom && left == right) return 0;
  const std::int64_t height = checked_add(in[2], checked_add(top, bottom, what), what);
  const std::int64_t width = checked_add(in[3], checked_add(left, right, what), what);
  return product(what, in[0], in[1], height, width);
}

Work conv_work(const ConvSpec& s) {
  const auto require_positive = [](const char* field, std::int64_t value) {
    if (value < 1) {
      throw ShapeError(std::string("conv2d: ") + field + " is " + std::to_string(value) +
                       "; it must be at least 1");
    }
  };
  require_positive("batch", s.batch);
  require_positive("c_in", s.c_in);
  require_positive("h_in", s.h_in);
  require_positive("w_in", s.w_in);
  require_positive("c_out", s.c_out);
  require_positive("k_h", s.k_h);
  require_positive("k_w", s.k_w);
  require_positive("stride_h", s.stride_h);
  require_positive("stride_w", s.stride_w);
  require_positive("h_out", s.h_out);
  require_positive("w_out", s.w_out);
  require_positive("groups", s.groups);
  if (s.c_in % s.groups != 0 || s.c_out % s.groups != 0) {
    throw ShapeError("conv2d: groups " + std::to_string(s.groups) + " must divide c_in " +
                     std::to_string(s.c_in) + " and c_out " + std::to_string(s.c_out));
  }
  Work w;
  w.dtype = s.dtype;
  w.batch = s.batch;
  w.groups = s.groups;
  w.c_in = s.c_in;
  w.c_out = s.c_out;
  w.spatial = product("conv2d output extent", s.h_out, s.w_out);
  w.width = s.w_out;
  w.kernel_volume = product("conv2d kernel volume", s.k_h, s.k_w);
  w.kernel_width = s.k_w;
  w.padded_elements = s.padded_elements;
  w.biased = s.bias;
  w.stride = product("conv2d stride", s.stride_h, s.stride_w);
  w.kind = s.groups > 1           ? Kind::conv_grouped
           : w.kernel_volume == 1 ? Kind::conv_1x1
                                  : Kind::conv_spatial;
  w.activations_read = product("conv2d input elements", s.batch, s.c_in, s.h_in, s.w_in);
  w.elements_written = product("conv2d output elements", s.batch, s.c_out, w.spatial);
  w.weights_read = product("conv2d weights", s.c_out, s.c_in / s.groups, w.kernel_volume);
  w.macs = product("conv2d MACs", s.batch, w.spatial, w.weights_read);
  if (s.bias) w.weights_read = checked_add(w.weights_read, s.c_out, "conv2d weights");
  w.params = w.weights_read;
  w.flops = checked_add(checked_mul(2, w.macs, "conv2d FLOPs"), s.bias ? w.elements_written : 0,
                        "conv2d FLOPs");
  return w;
}

}  // namespace alphaflops
