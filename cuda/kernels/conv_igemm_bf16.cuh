// The bf16 kernels of conv_igemm.cuh.
#pragma once

#include "conv_igemm.cuh"

#if AF_ARCH >= 800
AF_CONV_IGEMM_BF16(AF_CONV_IGEMM_KERNEL)
#endif
