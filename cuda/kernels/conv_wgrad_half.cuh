// The fp16 and bf16 kernels of conv_wgrad.cuh.
#pragma once

#include "conv_wgrad.cuh"

AF_CONV_WGRAD_FP16_SM75(AF_CONV_WGRAD_KERNEL)
#if AF_ARCH >= 800
AF_CONV_WGRAD_FP16(AF_CONV_WGRAD_KERNEL)
AF_CONV_WGRAD_BF16(AF_CONV_WGRAD_KERNEL)
#endif
