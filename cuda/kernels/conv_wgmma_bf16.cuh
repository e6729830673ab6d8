// The bf16 kernels of conv_wgmma.cuh.
#pragma once

#include "conv_wgmma.cuh"

#if AF_HAS_WGMMA
AF_CONV_WGMMA(AF_CONV_WGMMA_KERNEL, bf16)
#endif
