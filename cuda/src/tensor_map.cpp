#include "tensor_map.hpp"

#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstring>
#include <string>

#include "check.hpp"

namespace alphaflops::cuda {

namespace {

// The driver is not linked: it is asked for the function, so that the library loads without one.
template <typename Function>
Function entry_point(const char* name) {
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  check(cudaGetDriverEntryPointByVersion(name, &found, 12000, cudaEnableDefault, &result),
        std::string("asking the driver for ") + name);
  if (result != cudaDriverEntryPointSuccess || found == nullptr) {
    throw DriverError(std::string("the driver has no ") + name +
                      "; kernels that copy by tensor maps need one of CUDA 12 or later");
  }
  return reinterpret_cast<Function>(found);
}

CUtensorMapDataType type_of(DType dtype) {
  switch (dtype) {
    case DType::fp32: return CU_TENSOR_MAP_DATA_TYPE_UINT32;    // bits as they are, int32 too
    case DType::tf32: return CU_TENSOR_MAP_DATA_TYPE_TFLOAT32;  // rounded on the way
    case DType::fp16: return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
    case DType::bf16: return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
    case DType::int8: break;
  }
  return CU_TENSOR_MAP_DATA_TYPE_UINT8;
}

CUtensorMapSwizzle swizzle_of(Swizzle swizzle) {
  switch (swizzle) {
    case Swizzle::bytes_32: return CU_TENSOR_MAP_SWIZZLE_32B;
    case Swizzle::bytes_64: return CU_TENSOR_MAP_SWIZZLE_64B;
    case Swizzle::bytes_128: return CU_TENSOR_MAP_SWIZZLE_128B;
    case Swizzle::none: break;
  }
  return CU_TENSOR_MAP_SWIZZLE_NONE;
}

}  // namespace

void encode(const TensorMap& map, std::uint64_t address, std::byte* to) {
  alignas(64) CUtensorMap encoded{};
  static_assert(sizeof encoded == tensor_map_bytes);
  void* const memory = reinterpret_cast<void*>(address);
  // The driver's 64-bit integers are another type of the same size.
  cuuint64_t sizes[5]{}, strides[4]{};
  for (std::size_t i = 0; i < 5; ++i) sizes[i] = map.sizes[i];
  for (std::size_t i = 0; i < 4; ++i) strides[i] = map.strides_bytes[i];

  CUresult code{};
  if (map.im2col) {
    using Function = decltype(&cuTensorMapEncodeIm2col);
    static const auto function = entry_point<Function>("cuTensorMapEncodeIm2col");
    code = function(&encoded, type_of(map.dtype), map.rank, memory, sizes, strides,
                    map.lower_corner.data(), map.upper_corner.data(), map.channels_per_pixel,
                    map.pixels_per_column, map.element_strides.data(),
                    CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(map.swizzle),
                    CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  } else {
    using Function = decltype(&cuTensorMapEncodeTiled);
    static const auto function = entry_point<Function>("cuTensorMapEncodeTiled");
    code =
        function(&encoded, type_of(map.dtype), map.rank, memory, sizes, strides, map.box.data(),
                 map.element_strides.data(), CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle_of(map.swizzle),
                 CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  }
  if (code != CUDA_SUCCESS) {
    throw DeviceError("the driver refused a tensor map (code " + std::to_string(code) +
                      "); its address must be a multiple of 16 bytes, and so must the strides");
  }
  std::memcpy(to, &encoded, sizeof encoded);
}

}  // namespace alphaflops::cuda
