// The int8 kernels of conv_igemm.cuh.
#pragma once

#include "conv_igemm.cuh"

AF_CONV_IGEMM_INT8_SM75(AF_CONV_IGEMM_KERNEL)
#if AF_ARCH >= 800
AF_CONV_IGEMM_INT8(AF_CONV_IGEMM_KERNEL)
#endif
