// Convolutions of few channels, or of few of them a group, and of any shape.
#include "kernel_entry.hpp"
#include "kernels/conv_depthwise.cuh"
#include "kernels/conv_depthwise_grad.cuh"
#include "kernels/conv_direct.cuh"
#include "kernels/conv_general.cuh"
#include "kernels/conv_grouped.cuh"
#include "kernels/conv_pad.cuh"

namespace emulate {

using namespace alphaflops::cuda;

std::vector<Header> conv_channel_headers() {
#define DEPTHWISE(kernel, stride, columns, blocks)                                    \
  EMULATE_ENTRY(conv_depthwise_fp32_k##kernel##s##stride##_##columns##x##blocks),     \
      EMULATE_ENTRY(conv_depthwise_fp16_k##kernel##s##stride##_##columns##x##blocks), \
      EMULATE_ENTRY(conv_depthwise_bf16_k##kernel##s##stride##_##columns##x##blocks),
#define GRAD(dtype)                                                                     \
  EMULATE_ENTRY(depthwise_input_grad_##dtype), EMULATE_ENTRY(depthwise_reduce_##dtype), \
      EMULATE_ENTRY(depthwise_weight_grad_##dtype##_1),                                 \
      EMULATE_ENTRY(depthwise_weight_grad_##dtype##_3),                                 \
      EMULATE_ENTRY(depthwise_weight_grad_##dtype##_5),                                 \
      EMULATE_ENTRY(depthwise_weight_grad_##dtype##_7)
#define DIRECT(pixels, channels, lanes)                                \
  EMULATE_ENTRY(conv_direct_fp32_##pixels##x##channels##x##lanes),     \
      EMULATE_ENTRY(conv_direct_fp16_##pixels##x##channels##x##lanes), \
      EMULATE_ENTRY(conv_direct_bf16_##pixels##x##channels##x##lanes), \
      EMULATE_ENTRY(conv_direct_int8_##pixels##x##channels##x##lanes),
#define GENERAL(dtype) \
  EMULATE_ENTRY(conv_general_##dtype), EMULATE_ENTRY(conv_general_depthwise_##dtype)
#define GROUPED(pixels, width)                             \
  EMULATE_ENTRY(conv_grouped_fp32_##pixels##x##width),     \
      EMULATE_ENTRY(conv_grouped_fp16_##pixels##x##width), \
      EMULATE_ENTRY(conv_grouped_bf16_##pixels##x##width), \
      EMULATE_ENTRY(conv_grouped_int8_##pixels##x##width),
  return {{"conv_depthwise.cuh", {AF_CONV_DEPTHWISE_TILES(DEPTHWISE)}},
          {"conv_depthwise_grad.cuh", {GRAD(fp32), GRAD(fp16), GRAD(bf16)}},
          {"conv_direct.cuh", {AF_CONV_DIRECT_TILES(DIRECT)}},
          {"conv_general.cuh", {GENERAL(fp32), GENERAL(fp16), GENERAL(bf16), GENERAL(int8)}},
          {"conv_grouped.cuh", {AF_CONV_GROUPED_TILES(GROUPED)}},
          {"conv_pad.cuh",
           {EMULATE_ENTRY(conv_pad_b4), EMULATE_ENTRY(conv_pad_b2), EMULATE_ENTRY(conv_pad_b1)}}};
#undef GROUPED
#undef GENERAL
#undef DIRECT
#undef GRAD
#undef DEPTHWISE
}

}  // namespace emulate
