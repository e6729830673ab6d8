// Convolution on fp32: a plan, and what runs it.
#include "alphaflops/conv.hpp"

#include <string>

#include "../kernels/dispatch.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/threads.hpp"
#include "conv_driver.hpp"

namespace alphaflops {
namespace {

Clamp<float> clamp_of(Activation activation) {
  constexpr Clamp<float> kNone = Clamp<float>::none();
  switch (activation) {
    case Activation::none: return kNone;
    case Activation::relu: return {0.0f, kNone.high};
    case Activation::relu6: return {0.0f, 6.0f};
    default:
      throw UnsupportedError("conv2d: activation " + std::string(to_string(activation)) +
                             " is none of none, relu, relu6; apply it afterwards with activate");
  }
}

void run_planned(const ConvPlan& plan, const kernels::KernelTable& kernels,
                 const ConvCall<float, float>& call, const ConvPart& part) {
  switch (plan.algorithm) {
    case ConvAlgorithm::depthwise: run_depthwise(plan, *kernels.depthwise, call, part); break;
    case ConvAlgorithm::grouped: run_grouped(plan, *kernels.grouped, call, part); break;
    case ConvAlgorithm::winograd2:
    case ConvAlgorithm::winograd4:
      run_winograd(plan, *kernels.winograd, *kernels.gemm, call, part);
      break;
    case ConvAlgorithm::gemm: run_gemm(plan, *kernels.gemm, call, part); break;
    case ConvAlgorithm::automatic:
    case ConvAlgorithm::direct: run_direct(plan, *kernels.direct, call, part); break;
  }
}

}  // namespace

Conv2d::Conv2d(const Conv2dShape& shape, Isa isa, ConvAlgorithm algorithm)
    : kernels_(&kernels::table(isa)) {
  const ConvKernelSizes sizes{kernels_->direct->sizes,
                              kernels_->gemm->sizes,
                              kernels_->depthwise->lanes,
                              kernels_->grouped == nullptr ? 0 : kernels_->grouped->lanes,
                              true,
                              1};
  plan_ = std::make_shared<const ConvPlan>(make_plan(shape, isa, algorithm, sizes));
}

const Conv2dShape& Conv2d::shape() const { return plan_->shape; }
Isa Conv2d::isa() const { return plan_->isa; }
ConvAlgorithm Conv2d::algorithm() const { return plan_->algorithm; }
std::size_t Conv2d::packed_size() const { return static_cast<std::size_t>(plan_->packed_size); }
std::size_t Conv2d::workspace_size() const {
  return static_cast<std::size_t>(plan_->workspace_size);
}

std::size_t Conv2d::workspace_size(int threads) const {
  return static_cast<std::size_t>(thread_stride(*plan_)) * static_cast<std::size_t>(threads);
}

void Conv2d::pack(const float* weights, float* packed) const {
  switch (plan_->algorithm) {
    case ConvAlgorithm::depthwise: pack_depthwise(*plan_, weights, packed); break;
    case ConvAlgorithm::grouped: pack_grouped(*plan_, weights, packed); break;
    case ConvAlgorithm::winograd2:
    case ConvAlgorithm::winograd4: pack_winograd(*plan_, weights, packed); break;
    default: pack_blocks(*plan_, weights, packed);
  }
}

void Conv2d::run(const float* input, const float* packed, const float* bias, float* output,
                 float* workspace, Activation activation) const {
  run_part(0, 1, input, packed, bias, output, workspace, activation);
}

void Conv2d::run_part(int part, int parts, const float* input, const float* packed,
                      const float* bias, float* output, float* workspace,
                      Activation activation) const {
  check_part(part, parts);
  run_planned(*plan_, *kernels_, {input, packed, bias, output, workspace, clamp_of(activation)},
              part_of(*plan_, part, parts));
}

void Conv2d::run(ThreadPool& pool, const float* input, const float* packed, const float* bias,
                 float* output, float* workspace, Activation activation) const {
  const ConvCall<float, float> call{input, packed, bias, output, workspace, clamp_of(activation)};
  pool.run([&](int thread) {
    ConvCall<float, float> own = call;
    if (own.workspace != nullptr) own.workspace += thread * thread_stride(*plan_);
    run_planned(*plan_, *kernels_, own, part_of(*plan_, thread, pool.size()));
  });
}

std::vector<ConvAlgorithm> algorithms(const Conv2dShape& shape, Isa isa) {
  const Conv2d checked(shape, isa);
  std::vector<ConvAlgorithm> known;
  for (ConvAlgorithm algorithm :
       {ConvAlgorithm::direct, ConvAlgorithm::gemm, ConvAlgorithm::depthwise,
        ConvAlgorithm::grouped, ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
    try {
      const Conv2d conv(shape, isa, algorithm);
      known.push_back(algorithm);
    } catch (const UnsupportedError&) {
    }
  }
  return known;
}

}  // namespace alphaflops
