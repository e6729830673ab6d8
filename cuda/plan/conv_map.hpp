// The matrix products that make up a pass of a convolution: see kernels/conv_index.cuh.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/conv_igemm_params.cuh"
#include "problem.hpp"

namespace alphaflops::cuda {

struct ConvProduct {
  ConvMap map{};
  bool is_pointwise = false;  // one tap a phase, which never meets padding
};

/// The product of the forward pass; nothing where a size leaves the 31 bits that the kernels count
/// in.
std::optional<ConvProduct> forward_product(const Conv2dShape& shape);

/// One product of one phase for the forward pass; for the gradient of the input, whose weights are
/// turned ([group][c_in][k_h][k_w][c_out]), the phases of the stride, `phases` of them in each
/// product. None for other passes and for gradients of int8, and where a size leaves the 31 bits
/// that the kernels count in.
std::vector<ConvProduct> conv_products(const Problem& problem, int phases = most_phases);

/// Whether kernels of that access do the products, and none that is quicker does.
bool suits(Access access, const Problem& problem, const std::vector<ConvProduct>& products);

}  // namespace alphaflops::cuda
