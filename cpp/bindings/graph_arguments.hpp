// Arguments of Graph's methods as the attributes of operators, and back.
#pragma once

#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "alphaflops/graph.hpp"
#include "bindings.hpp"

namespace alphaflops::python {

using Pair = std::array<std::int64_t, 2>;
using Quad = std::array<std::int64_t, 4>;
using PairArg = std::variant<std::int64_t, Pair>;
using PadArg = std::variant<std::int64_t, Pair, Quad>;
using Sizes = std::vector<std::int64_t>;
using SizesArg = std::variant<std::int64_t, Sizes>;

Pair pair_of(const PairArg& arg);
/// All sides alike, both sides of an axis, or top, bottom, left, right.
Quad pad_of(const PadArg& arg);
/// Windows over every axis behind [batch, channels]. Padding: one size, one an axis, or two an
/// axis, before and after.
std::vector<AxisWindow> windows_of(const Graph& g, int x, const SizesArg& kernel,
                                   const SizesArg& stride, const SizesArg& padding,
                                   const SizesArg& dilation, const SizesArg& output_padding);
PoolOp pool_op(PoolOp::Kind kind, const PairArg& kernel, const std::optional<PairArg>& stride,
               const PadArg& padding, const PairArg& dilation, bool ceil_mode, bool count_pad);

// Each raises UnsupportedError with the names that there are.
PoolOp::Kind pool_kind(const std::string& kind);
RecurrentOp::Cell recurrent_cell(const std::string& cell);
NormOp::Kind norm_kind(const std::string& kind);

/// The method of Graph that makes an operator.
const char* method_of(const Operator& op);
/// The keyword arguments of that method, operands, shape and name aside.
py::dict attributes_of(const Operator& op);

}  // namespace alphaflops::python
