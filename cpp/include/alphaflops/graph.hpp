// A network as operators with tensor shapes and edges: device-free and exact.
//
// Logical tensor layout is [batch, channels, height, width] for images, [batch, length, features]
// for sequences and [batch, features] for vectors, whatever order a device stores them in. Every
// node makes one tensor, so a tensor is named by its node's index. Shapes are inferred, and
// checked, as nodes are added.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "alphaflops/dtype.hpp"
#include "alphaflops/operators.hpp"

namespace alphaflops {

using Shape = std::vector<std::int64_t>;

/// floor((in + pad_before + pad_after - dilation (k - 1) - 1) / stride) + 1, or the ceiling of the
/// quotient with `ceil_mode` (a last window must still start inside the image or its left padding).
/// Raises ShapeError naming `name`.
std::array<std::int64_t, 2> output_extent(const std::string& name, std::int64_t h_in,
                                          std::int64_t w_in, const Window& window,
                                          bool ceil_mode = false);

struct Node {
  std::string name;
  Operator op;
  std::vector<int> inputs;
  Shape shape;
  DType dtype = DType::fp32;  // of its result and its parameters
  int tied_to = -1;           // an earlier node whose parameters it uses, -1 for its own
  OpCode code = 0;            // of its operator
};

class Graph {
 public:
  explicit Graph(std::string name = "graph", DType dtype = DType::fp32);

  const std::string& name() const { return name_; }
  /// Of the nodes that are added next; every node has its own.
  DType dtype() const { return dtype_; }
  const std::vector<Node>& nodes() const { return nodes_; }
  const Node& node(int tensor) const;
  /// Batch of the first input; 1 where there is none.
  std::int64_t batch() const;

  // Each adds one node and returns its tensor. An empty name becomes "<op>_<index>".
  int input(Shape shape, std::string name = "");
  /// A tensor that is there before the call.
  int constant(Shape shape, bool trainable = false, std::string name = "");
  int conv2d(int x, Conv2dOp op, std::string name = "");
  /// Axes after [batch, channels] are as many as windows; two without transposition are conv2d.
  int conv_nd(int x, ConvNdOp op, std::string name = "");
  int linear(int x, LinearOp op, std::string name = "");
  int matmul(int a, int b, std::string name = "");
  /// `inputs` are q, k, v and, where there is one, an additive mask.
  int attention(std::vector<int> inputs, AttentionOp op = {}, std::string name = "");
  /// `states` are those before the first step where they are not zero: of every layer and direction
  /// the output's, and of an LSTM the cell's.
  int recurrent(int x, RecurrentOp op, std::string name = "", const std::vector<int>& states = {});
  int batch_norm(int x, std::string name = "");
  int norm(int x, NormOp op, std::string name = "");
  /// One more axis, of the features, than `indices` has.
  int embedding(int indices, EmbeddingOp op, std::string name = "");
  int activation(int x, Activation activation, std::string name = "");
  int pool(int x, PoolOp op, std::string name = "");
  int pool_nd(int x, PoolNdOp op, std::string name = "");
  int adaptive_pool(int x, AdaptivePoolOp op, std::string name = "");
  int global_avg_pool(int x, std::string name = "");
  int add(int a, int b, std::string name = "");
  int mul(int a, int b, std::string name = "");
  /// An element operator; without a shape, operands broadcast against each other.
  /// `order`: as in ElementOp, of "contiguous" and "transpose".
  int element(std::vector<int> inputs, std::string type, Shape shape = {}, std::string name = "",
              std::vector<std::int64_t> order = {});
  /// A reduction of those axes, negative ones counted from the last; none: all.
  int reduce(int x, std::string type, std::vector<std::int64_t> axes = {}, bool keep_axes = false,
             std::string name = "");
  int concat(std::vector<int> inputs, std::string name = "", std::int64_t axis = 1);
  /// [batch, features]
  int flatten(int x, std::string name = "");
  /// The same elements in any other shape.
  int view(int x, Shape shape, std::string name = "");
  /// Some elements, or repetitions, in any shape, where nothing is copied.
  int part(int x, Shape shape, std::string name = "");
  /// Over the last axis of a [batch, features] tensor, over channels of an image.
  int softmax(int x, std::string name = "");
  int custom(std::vector<int> inputs, CustomOp op, Shape shape, std::string name = "");
  int unknown(std::vector<int> inputs, std::string type, Shape shape, std::string name = "");

  /// Let a node use the parameters of an earlier one, which then count once. Raises ShapeError
  /// where either has none.
  void tie(int tensor, int to);

  /// The element type of nodes that are added from now on.
  void set_dtype(DType dtype) { dtype_ = dtype; }
  void rename(int tensor, std::string name);

  /// What a host that runs it operator by operator does beside them: calls of containers, views.
  std::int64_t calls() const { return calls_; }
  /// Raises ShapeError below 0.
  void set_calls(std::int64_t calls);

  /// The same network at another batch; every shape is inferred anew.
  Graph with_batch(std::int64_t batch) const;
  /// The same network in another element type.
  Graph with_dtype(DType dtype) const;

  /// Consumers of every tensor, in node order.
  std::vector<std::vector<int>> consumers() const;

 private:
  int append(std::string name, Operator op, std::vector<int> inputs, Shape shape);
  int add_again(const Node& node, const Shape& shape);
  std::string name_or_default(std::string name, std::string_view op) const;
  const Shape& image_shape(int x, const std::string& name) const;
  const Shape& checked_shape(int x, const std::string& name) const;

  std::string name_;
  DType dtype_;
  std::int64_t calls_ = 0;
  std::vector<Node> nodes_;
};

/// Product of the sizes, checked.
std::int64_t element_count(const Shape& shape);
/// "[1, 3, 224, 224]"
std::string describe(const Shape& shape);

}  // namespace alphaflops
