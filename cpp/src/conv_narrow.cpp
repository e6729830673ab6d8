// Convolution on bf16 and int8: the drivers of fp32 on words of two or four channels.
#include "alphaflops/conv_narrow.hpp"

#include <algorithm>
#include <string>
#include <type_traits>

#include "../kernels/dispatch.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/threads.hpp"
#include "conv_driver.hpp"

namespace alphaflops {
namespace {

using std::int64_t;

template <class Acc>
Clamp<Acc> clamp_of(Activation activation) {
  constexpr Clamp<Acc> kNone = Clamp<Acc>::none();
  constexpr bool kScaled = std::is_floating_point_v<Acc>;  // an int32 sum has no scale to find 6 in
  if (activation == Activation::none) return kNone;
  if (activation == Activation::relu) return {Acc{0}, kNone.high};
  if (kScaled && activation == Activation::relu6) return {Acc{0}, Acc{6}};
  throw UnsupportedError("conv2d: activation " + std::string(to_string(activation)) +
                         " is none of none, relu" + (kScaled ? ", relu6" : "") +
                         "; apply it afterwards");
}

const kernels::NarrowTable<kernels::Bf16Word, float>& table_of(Isa isa, float) {
  return kernels::bf16_table(isa);
}
const kernels::NarrowTable<kernels::Int8Word, std::int32_t>& table_of(Isa isa, std::int32_t) {
  return kernels::int8_table(isa);
}

// Copies the input that a part reads to the workspace, every group filled up to whole words with
// zeros, which add nothing.
template <class Input>
void fill_up(const ConvPlan& plan, const ConvPart& part, const Input* input, Input* filled) {
  const Conv2dShape& s = plan.shape;
  const int64_t unit = plan.algorithm == ConvAlgorithm::gemm ? plan.w_out : 1;
  if (part.unit_first == part.unit_last) return;
  const int64_t first_row = part.unit_first / unit;
  const int64_t last_row = (part.unit_last - 1) / unit;
  const auto in_row = [&](int64_t row, int64_t tap) {
    const int64_t y = row % plan.h_out * s.stride_h - s.pad_top + tap * s.dilation_h;
    return row / plan.h_out * s.h_in + std::clamp<int64_t>(y, 0, s.h_in - 1);
  };
  const int64_t begin = in_row(first_row, 0) * s.w_in;
  const int64_t end = (in_row(last_row, s.k_h - 1) + 1) * s.w_in;
  const int64_t width = plan.group_words * plan.per_word;
  const Input* from = input + begin * s.c_in;
  Input* to = filled + begin * s.groups * width;
  for (int64_t i = 0; i < (end - begin) * s.groups; ++i) {
    std::copy_n(from, plan.group_in, to);
    std::fill(to + plan.group_in, to + width, Input{});
    from += plan.group_in;
    to += width;
  }
}

template <class Input, class Weight, class Output>
void run_planned(const ConvPlan& plan, const ConvPart& part, const Input* input,
                 const Weight* packed, const Output* bias, Output* output, Input* workspace,
                 Clamp<Output> clamp) {
  const auto& table = table_of(plan.isa, Output{});
  using Word = std::conditional_t<sizeof(Input) == 2, kernels::Bf16Word, kernels::Int8Word>;
  if (plan.filled_size != 0) {
    fill_up(plan, part, input, workspace);
    input = workspace;
    workspace += plan.filled_size * plan.per_word;
  }
  const ConvCall<Word, Output> call{reinterpret_cast<const Word*>(input),
                                    reinterpret_cast<const Word*>(packed),
                                    bias,
                                    output,
                                    reinterpret_cast<Word*>(workspace),
                                    clamp};
  if (plan.algorithm == ConvAlgorithm::gemm) {
    run_gemm(plan, table.gemm, call, part);
  } else {
    run_direct(plan, table.direct, call, part);
  }
}

}  // namespace

template <class Input, class Weight, class Output>
NarrowConv2d<Input, Weight, Output>::NarrowConv2d(const Conv2dShape& shape, Isa isa,
                                                  ConvAlgorithm algorithm) {
  const auto& table = table_of(isa, Output{});
  const ConvKernelSizes sizes{
      table.direct.sizes, table.gemm.sizes, 0, 0, false, static_cast<int>(4 / sizeof(Input))};
  plan_ = std::make_shared<const ConvPlan>(make_plan(shape, isa, algorithm, sizes));
}

template <class Input, class Weight, class Output>
const Conv2dShape& NarrowConv2d<Input, Weight, Output>::shape() const {
  return plan_->shape;
}

template <class Input, class Weight, class Output>
Isa NarrowConv2d<Input, Weight, Output>::isa() const {
  return plan_->isa;
}

template <class Input, class Weight, class Output>
ConvAlgorithm NarrowConv2d<Input, Weight, Output>::algorithm() const {
  return plan_->algorithm;
}

template <class Input, class Weight, class Output>
std::size_t NarrowConv2d<Input, Weight, Output>::packed_size() const {
  return static_cast<std::size_t>(plan_->packed_size * plan_->per_word);
}

template <class Input, class Weight, class Output>
std::size_t NarrowConv2d<Input, Weight, Output>::workspace_size() const {
  return static_cast<std::size_t>(plan_->workspace_size * plan_->per_word);
}

template <class Input, class Weight, class Output>
std::size_t NarrowConv2d<Input, Weight, Output>::workspace_size(int threads) const {
  return static_cast<std::size_t>(thread_stride(*plan_) * plan_->per_word) *
         static_cast<std::size_t>(threads);
}

template <class Input, class Weight, class Output>
void NarrowConv2d<Input, Weight, Output>::pack(const Weight* weights, Weight* packed) const {
  pack_blocks(*plan_, weights, packed);
}

template <class Input, class Weight, class Output>
void NarrowConv2d<Input, Weight, Output>::run(const Input* input, const Weight* packed,
                                              const Output* bias, Output* output, Input* workspace,
                                              Activation activation) const {
  run_part(0, 1, input, packed, bias, output, workspace, activation);
}

template <class Input, class Weight, class Output>
void NarrowConv2d<Input, Weight, Output>::run_part(int part, int parts, const Input* input,
                                                   const Weight* packed, const Output* bias,
                                                   Output* output, Input* workspace,
                                                   Activation activation) const {
  check_part(part, parts);
  run_planned(*plan_, part_of(*plan_, part, parts), input, packed, bias, output, workspace,
              clamp_of<Output>(activation));
}

template <class Input, class Weight, class Output>
void NarrowConv2d<Input, Weight, Output>::run(ThreadPool& pool, const Input* input,
                                              const Weight* packed, const Output* bias,
                                              Output* output, Input* workspace,
                                              Activation activation) const {
  const Clamp<Output> clamp = clamp_of<Output>(activation);
  const int64_t stride = thread_stride(*plan_) * plan_->per_word;
  pool.run([&](int thread) {
    run_planned(*plan_, part_of(*plan_, thread, pool.size()), input, packed, bias, output,
                workspace == nullptr ? nullptr : workspace + thread * stride, clamp);
  });
}

template class NarrowConv2d<Bf16, Bf16, float>;
template class NarrowConv2d<std::uint8_t, std::int8_t, std::int32_t>;

}  // namespace alphaflops
