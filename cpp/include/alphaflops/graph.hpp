// A network as operators with tensor shapes and edges: device-free and exact.
//
// Logical tensor layout is [batch, channels, height, width] for images and [batch, features] for
// vectors, whatever order a device stores them in. Every node makes one tensor, so a tensor is
// named by its node's index. Shapes are inferred, and checked, as nodes are added.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "alphaflops/activation.hpp"
#include "alphaflops/dtype.hpp"

namespace alphaflops {

using Shape = std::vector<std::int64_t>;

/// Sizes of one window sliding over an image; `pad` is top, bottom, left, right.
struct Window {
  std::array<std::int64_t, 2> kernel{1, 1};
  std::array<std::int64_t, 2> stride{1, 1};
  std::array<std::int64_t, 4> pad{0, 0, 0, 0};
  std::array<std::int64_t, 2> dilation{1, 1};
};

/// floor((in + pad_before + pad_after - dilation (k - 1) - 1) / stride) + 1, or the ceiling of the
/// quotient with `ceil_mode` (a last window must still start inside the image or its left padding).
/// Raises ShapeError naming `name`.
std::array<std::int64_t, 2> output_extent(const std::string& name, std::int64_t h_in,
                                          std::int64_t w_in, const Window& window,
                                          bool ceil_mode = false);

struct Input {};
struct Conv2dOp {
  std::int64_t c_out = 1;
  Window window{};
  std::int64_t groups = 1;
  bool bias = false;
};
struct LinearOp {
  std::int64_t out_features = 1;
  bool bias = false;
};
struct BatchNormOp {};
struct ActivationOp {
  Activation activation = Activation::relu;
};
struct PoolOp {
  enum class Kind : std::uint8_t { max, average } kind = Kind::max;
  Window window{};
  bool ceil_mode = false;
  bool count_include_pad = true;
};
struct GlobalPoolOp {};
struct AddOp {};
/// Second operand is of the first's shape, or [batch, channels, 1, 1] (a gate per channel).
struct MulOp {};
struct ConcatOp {};
/// The same elements in another shape, which the node holds: a view, nothing is launched.
struct FlattenOp {};
struct SoftmaxOp {};
/// An operator of some format that the library cannot count; it is reported, never priced at zero.
struct UnknownOp {
  std::string type;
};

using Operator =
    std::variant<Input, Conv2dOp, LinearOp, BatchNormOp, ActivationOp, PoolOp, GlobalPoolOp, AddOp,
                 MulOp, ConcatOp, FlattenOp, SoftmaxOp, UnknownOp>;

/// "conv2d", "linear", "relu", "max_pool", ... as reports and measurement tables name it.
std::string_view op_name(const Operator& op);

struct Node {
  std::string name;
  Operator op;
  std::vector<int> inputs;
  Shape shape;
};

class Graph {
 public:
  explicit Graph(std::string name = "graph", DType dtype = DType::fp32);

  const std::string& name() const { return name_; }
  DType dtype() const { return dtype_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(int tensor) const;
  /// Batch of the first input; 1 where there is none.
  std::int64_t batch() const;

  // Each adds one node and returns its tensor. An empty name becomes "<op>_<index>".
  int input(Shape shape, std::string name = "");
  int conv2d(int x, Conv2dOp op, std::string name = "");
  int linear(int x, LinearOp op, std::string name = "");
  int batch_norm(int x, std::string name = "");
  int activation(int x, Activation activation, std::string name = "");
  int pool(int x, PoolOp op, std::string name = "");
  int global_avg_pool(int x, std::string name = "");
  int add(int a, int b, std::string name = "");
  int mul(int a, int b, std::string name = "");
  /// Along channels (axis 1).
  int concat(std::vector<int> inputs, std::string name = "");
  /// [batch, features]
  int flatten(int x, std::string name = "");
  /// The same elements in any other shape.
  int view(int x, Shape shape, std::string name = "");
  /// Over the last axis of a [batch, features] tensor, over channels of an image.
  int softmax(int x, std::string name = "");
  int unknown(std::vector<int> inputs, std::string type, Shape shape, std::string name = "");

  /// The same network at another batch; every shape is inferred anew.
  Graph with_batch(std::int64_t batch) const;
  /// The same network in another element type.
  Graph with_dtype(DType dtype) const;

  /// Consumers of every tensor, in node order.
  std::vector<std::vector<int>> consumers() const;

 private:
  int append(std::string name, Operator op, std::vector<int> inputs, Shape shape);
  std::string name_or_default(std::string name, std::string_view op) const;
  const Shape& image_shape(int x, const std::string& name) const;
  const Shape& checked_shape(int x, const std::string& name) const;

  std::string name_;
  DType dtype_;
  std::vector<Node> nodes_;
};

/// Product of the sizes, checked.
std::int64_t element_count(const Shape& shape);

}  // namespace alphaflops
