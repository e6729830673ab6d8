// The tf32 kernels of conv_igemm.cuh.
#pragma once

#include "conv_igemm.cuh"

#if AF_ARCH >= 800
AF_CONV_IGEMM_TF32(AF_CONV_IGEMM_KERNEL)
#endif
