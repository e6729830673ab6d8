// The fp16 kernels of conv_igemm.cuh.
#pragma once

#include "conv_igemm.cuh"

AF_CONV_IGEMM_FP16_SM75(AF_CONV_IGEMM_KERNEL)
#if AF_ARCH >= 800
AF_CONV_IGEMM_FP16(AF_CONV_IGEMM_KERNEL)
#endif
