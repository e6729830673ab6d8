// One row of a measurement table as an operator: what `measure` runs and what `fit` counts.
#pragma once

#include <cstdint>
#include <string>

#include "alphaflops/dtype.hpp"
#include "alphaflops/graph.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

/// `op` is an operator name as op_name() gives it. Elementwise, normalisation, softmax and pooling
/// operators have c_out = c_in; gate is a mul with one number a channel; concat joins c_in channels
/// with c_out - c_in others. linear and layer_norm see batch h_in w_in rows of c_in features.
/// conv3d sees volumes of h_in frames of w_in x w_in pixels, and k_h is its kernel over frames.
/// matmul: [batch, groups, h_in, c_in] x [batch, groups, c_in, c_out]. attention: groups heads,
/// h_in queries and w_in keys, c_in features of queries and c_out of values, all heads together.
/// lstm and gru see w_in steps of c_in features and have c_out of state; mean is over an image.
/// sgd, momentum, adam and adamw update a matrix of c_in x c_out parameters, and with a bias c_out
/// others, in the pass optimizer.
struct OperatorSpec {
  std::string op = "conv2d";
  std::int64_t batch = 1, c_in = 1, h_in = 1, w_in = 1, c_out = 1;
  std::int64_t k_h = 1, k_w = 1, stride_h = 1, stride_w = 1;
  std::int64_t pad_h = 0, pad_w = 0;  // one side
  std::int64_t dilation_h = 1, dilation_w = 1, groups = 1;
  std::int64_t h_out = 0, w_out = 0;  // 0: computed; given, they win (asymmetric "same" padding)
  bool bias = false;
  DType dtype = DType::fp32;
  Pass pass = Pass::forward;
  bool training = false;  // a forward row as in a step of training; other passes always are
};

/// The counts of the row. Of a gradient it is that of the first operand, and where all operands
/// have one row, that of all; attention is recomputed. Raises ShapeError, OverflowError,
/// UnsupportedError (unknown op, or one that launches nothing in that pass).
Work work_of(const OperatorSpec& spec);

/// The row as a network of that one operator; where h_out and w_out are given, padding is split so
/// that they come out, more of it at the bottom and the right. Raises as `work_of`, and ShapeError
/// where no padding gives such an output.
Graph graph_of(const OperatorSpec& spec);

}  // namespace alphaflops
