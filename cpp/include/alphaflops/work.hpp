// The work table: one row a kernel launch as a device sees it, and the lowering that makes it.
//
//     graph --lower--> work table --predict--> seconds
//
// Counts are exact int64. `macs` counts every multiply-accumulate a convolution or linear layer
// does, padding included: macs = batch * h_out * w_out * k_h * k_w * (c_in / groups) * c_out.
// `flops` is 2 * macs plus the elementwise operations listed in docs/counting.md.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "alphaflops/dtype.hpp"
#include "alphaflops/graph.hpp"

namespace alphaflops {

/// What a cost model distinguishes.
enum class Kind : std::uint8_t {
  conv_1x1,      // groups 1, kernel volume 1
  conv_spatial,  // groups 1, kernel volume > 1
  conv_grouped,  // groups > 1, depthwise among them
  conv_transposed,
  conv_3d,  // over three axes, whatever the groups and the kernel
  linear,
  elementwise,  // add, mul, activations that only compare and multiply
  norm,
  pool,
  softmax,
  copy,    // concat and whatever else moves elements, embeddings among them
  matmul,  // of two activations
  attention,
  recurrent,  // but for the next
  lstm,       // of more than one token: libraries have kernels of its own
  reduce,
  transcendental,  // elementwise with an exp, log, erf, tanh or sine, many instructions each
  call,            // launches nothing: what a host does beside operators, all of it in one row
  unknown,         // counted as nothing, reported as unsupported
};
inline constexpr int kind_count = 19;
std::string_view to_string(Kind kind);
/// Raises UnsupportedError listing the known names.
Kind parse_kind(std::string_view name);

/// fused: what a deployment runtime launches (norm and activation folded into the operator before
/// them). fused_relu: the same, but of activations behind a product only relu and relu6, as the
/// kernels of this package. eager: one launch an operator, as PyTorch runs it; flatten is a
/// view in all of them.
enum class Mode : std::uint8_t { fused, fused_relu, eager };
std::string_view to_string(Mode mode);
/// Raises UnsupportedError listing the known names.
Mode parse_mode(std::string_view name);

enum class Pass : std::uint8_t { forward, input_gradient, weight_gradient, optimizer };
inline constexpr int pass_count = 4;
std::string_view to_string(Pass pass);
/// Raises UnsupportedError listing the known names.
Pass parse_pass(std::string_view name);

/// One row of the table.
struct Work {
  Kind kind = Kind::unknown;
  Pass pass = Pass::forward;
  DType dtype = DType::fp32;
  std::int64_t batch = 1;
  std::int64_t groups = 1;
  std::int64_t c_in = 1;
  std::int64_t c_out = 1;
  std::int64_t spatial = 1;        // h_out * w_out of one image; layers * tokens of a recurrence;
                                   // how many calls
  std::int64_t width = 1;          // w_out; tokens of a recurrence
  std::int64_t kernel_volume = 1;  // k_h * k_w
  std::int64_t kernel_width = 1;   // k_w
  std::int64_t stride = 1;         // stride_h * stride_w
  std::int64_t activations_read = 0;  // elements
  std::int64_t weights_read = 0;      // elements
  std::int64_t elements_written = 0;
  std::int64_t padded_elements = 0;  // of the copy that padding unlike on two sides makes necessary
  bool biased = false;
  std::int64_t macs = 0;
  std::int64_t flops = 0;
  std::int64_t params = 0;  // trainable parameters of every node in the row
  OpCode op = 0;  // of the node that leads the row; of sums of gradients add, of updates 0
};

/// Recurrences and calls.
bool has_steps(Kind kind);
/// What a row makes one after the other: a recurrence its tokens in each layer, a row of calls
/// each of them, all others one.
std::int64_t steps_of(const Work& work);
/// One of these by itself, of a mean layer; sizes are rounded, and 1 at least. A step is its own.
Work one_step(const Work& work);
/// Whether its tokens wait for one another.
bool is_recurrence(Kind kind);
/// The row as a model sees it: a step of calls and, where these were timed, of a recurrence; else a
/// recurrence has no more rows at once than its batch.
Work as_modelled(const Work& work, bool per_step);

/// Struct of arrays: column i of every vector is one launch.
class WorkTable {
 public:
  void append(const Work& work, int node = -1, std::vector<int> folded = {});
  void reserve(std::size_t rows);
  std::size_t size() const { return kind.size(); }
  Work row(std::size_t i) const;
  /// The rows of those numbers, in that order. Raises ShapeError for a number that is not there.
  WorkTable take(std::span<const std::int64_t> rows) const;

  std::vector<Kind> kind;
  std::vector<OpCode> op;
  std::vector<Pass> pass;
  std::vector<DType> dtype;
  std::vector<std::int64_t> batch, groups, c_in, c_out, spatial, width, kernel_volume, kernel_width,
      stride, activations_read, weights_read, elements_written, padded_elements, macs, flops,
      params;
  std::vector<std::uint8_t> biased;
  std::vector<int> node;                 // that leads the row; -1 of calls, and without a graph
  std::vector<std::vector<int>> folded;  // nodes computed in the same launch, after it
};

/// The rows of all tables, one table after another. They lead no node: each table had its own
/// graph.
WorkTable join(std::span<const WorkTable* const> tables);

/// In eager mode the graph's calls are the last row.
WorkTable lower(const Graph& graph, Mode mode = Mode::fused);

/// The work of one node by itself.
Work work_of(const Graph& graph, int node);

/// One row of a measurement table: a convolution whose output extent may be given outright.
struct ConvSpec {
  std::int64_t batch = 1, c_in = 1, h_in = 1, w_in = 1, c_out = 1;
  std::int64_t k_h = 1, k_w = 1, stride_h = 1, stride_w = 1;
  std::int64_t h_out = 1, w_out = 1, groups = 1;
  std::int64_t padded_elements = 0;  // as in Work
  bool bias = false;
  DType dtype = DType::fp32;
};
/// Elements of the input with its padding, all images and channels, where that differs between two
/// sides, so that a device has to copy the input first; 0 where it does not.
std::int64_t padded_elements(const Shape& input, const Window& window, const char* what);

/// Raises ShapeError (sizes below one, groups that do not divide) and OverflowError.
Work conv_work(const ConvSpec& spec);

}  // namespace alphaflops
