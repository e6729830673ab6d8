// The int8 kernels of conv_wgmma.cuh.
#pragma once

#include "conv_wgmma.cuh"

#if AF_HAS_WGMMA
AF_CONV_WGMMA(AF_CONV_WGMMA_KERNEL, int8)
#endif
