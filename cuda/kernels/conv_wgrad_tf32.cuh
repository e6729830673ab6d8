// The tf32 kernels of conv_wgrad.cuh.
#pragma once

#include "conv_wgrad.cuh"

#if AF_ARCH >= 800
AF_CONV_WGRAD_TF32(AF_CONV_WGRAD_KERNEL)
#endif
