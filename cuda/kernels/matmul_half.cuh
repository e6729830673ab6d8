// The fp16 and bf16 kernels of matmul.cuh.
#pragma once

#include "matmul.cuh"

AF_MATMUL_FP16_SM75(AF_MATMUL_KERNEL)
#if AF_ARCH >= 800
AF_MATMUL_FP16(AF_MATMUL_KERNEL)
AF_MATMUL_BF16(AF_MATMUL_KERNEL)
#endif
