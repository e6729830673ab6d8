// The driver's encoders of tensor maps: they hold a map to what the manual asks of one, and write
// what the emulated copy engine reads (tensor_map.hpp).
#include <cuda.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "../emulate_async.hpp"
#include "../tensor_map.hpp"
#include "state.hpp"

namespace emulate::runtime {

namespace {

struct Description {
  void* to;
  CUtensorMapDataType type;
  unsigned rank;
  void* base;
  const cuuint64_t *sizes, *strides_bytes;
  const cuuint32_t* element_strides;
  CUtensorMapInterleave interleave;
  CUtensorMapSwizzle swizzle;
};

unsigned bytes_of(CUtensorMapDataType type) {
  switch (type) {
    case CU_TENSOR_MAP_DATA_TYPE_UINT8: return 1;
    case CU_TENSOR_MAP_DATA_TYPE_UINT16:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT16:
    case CU_TENSOR_MAP_DATA_TYPE_BFLOAT16: return 2;
    case CU_TENSOR_MAP_DATA_TYPE_UINT32:
    case CU_TENSOR_MAP_DATA_TYPE_INT32:
    case CU_TENSOR_MAP_DATA_TYPE_FLOAT32:
    case CU_TENSOR_MAP_DATA_TYPE_TFLOAT32: return 4;
    default: return 0;
  }
}

unsigned bytes_of(CUtensorMapSwizzle swizzle) {
  switch (swizzle) {
    case CU_TENSOR_MAP_SWIZZLE_NONE: return 256 * 8;
    case CU_TENSOR_MAP_SWIZZLE_32B: return 32;
    case CU_TENSOR_MAP_SWIZZLE_64B: return 64;
    default: return 128;
  }
}

bool divides(unsigned by, const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % by == 0;
}

/// What is wrong with a map of either kind; null where nothing is.
const char* fault_of(const Description& map) {
  if (!divides(64, map.to)) return "the map is not aligned to 64 bytes";
  if (!divides(16, map.base)) return "the address is not a multiple of 16";
  if (map.rank == 0 || map.rank > 5) return "the rank is not 1 to 5";
  if (bytes_of(map.type) == 0) return "the type is not known here";
  if (map.interleave != CU_TENSOR_MAP_INTERLEAVE_NONE) return "interleaving is not known here";
  for (unsigned i = 0; i < map.rank; ++i) {
    if (map.sizes[i] == 0 || map.sizes[i] > 1ULL << 32) return "a size is not 1 to 2^32";
    if (i > 0 && (map.element_strides[i] == 0 || map.element_strides[i] > 8)) {
      return "an element stride is not 1 to 8";
    }
  }
  cuuint64_t before = map.sizes[0] * bytes_of(map.type);
  for (unsigned i = 0; i + 1 < map.rank; ++i) {
    const cuuint64_t stride = map.strides_bytes[i];
    if (stride % 16 != 0 || stride >= 1ULL << 40) return "a stride is not a multiple of 16";
    if (stride < before) return "a stride is less than what lies within it";
    if (i > 0 && stride % map.strides_bytes[i - 1] != 0) return "no multiple of the stride before";
    before = stride * map.sizes[i + 1];
  }
  return nullptr;
}

CUresult refuse(const char* why) {
  std::fprintf(stderr, "made-up CUDA: a tensor map is refused: %s\n", why);
  return CUDA_ERROR_INVALID_VALUE;
}

CUresult encode_tiled(CUtensorMap* to, CUtensorMapDataType type, cuuint32_t rank, void* base,
                      const cuuint64_t* sizes, const cuuint64_t* strides_bytes,
                      const cuuint32_t* box, const cuuint32_t* element_strides,
                      CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
                      CUtensorMapL2promotion, CUtensorMapFloatOOBfill) {
  if (arch() < 90) return CUDA_ERROR_NOT_SUPPORTED;
  const Description map{to,         type,   rank, base, sizes, strides_bytes, element_strides,
                        interleave, swizzle};
  if (const char* fault = fault_of(map)) return refuse(fault);
  for (unsigned i = 0; i < rank; ++i) {
    if (box[i] == 0 || box[i] > 256) return refuse("the box is not 1 to 256");
  }
  if (box[0] * bytes_of(type) % 16 != 0) return refuse("rows of the box are no multiple of 16");
  if (box[0] * bytes_of(type) > bytes_of(swizzle)) return refuse("the box is wider than a swizzle");
  if (swizzle != CU_TENSOR_MAP_SWIZZLE_128B || rank > 4) return CUDA_ERROR_NOT_SUPPORTED;
  for (unsigned i = 1; i < rank; ++i) {
    if (element_strides[i] != 1) return CUDA_ERROR_NOT_SUPPORTED;
  }
  HostTensorMap host{static_cast<std::byte*>(base),
                     {1, 1, 1, 1},
                     {},
                     {1, 1, 1, 1},
                     type == CU_TENSOR_MAP_DATA_TYPE_TFLOAT32};
  host.strides_bytes[0] = bytes_of(type);
  for (unsigned i = 0; i < rank; ++i) {
    host.sizes[i] = sizes[i], host.box[i] = box[i];
    if (i > 0) host.strides_bytes[i] = strides_bytes[i - 1];
  }
  std::memset(to, 0, sizeof *to);
  std::memcpy(to, &host, sizeof host);
  return CUDA_SUCCESS;
}

CUresult encode_im2col(CUtensorMap* to, CUtensorMapDataType type, cuuint32_t rank, void* base,
                       const cuuint64_t* sizes, const cuuint64_t* strides_bytes, const int*,
                       const int*, cuuint32_t channels, cuuint32_t pixels,
                       const cuuint32_t* element_strides, CUtensorMapInterleave interleave,
                       CUtensorMapSwizzle swizzle, CUtensorMapL2promotion,
                       CUtensorMapFloatOOBfill) {
  const Description map{to,         type,   rank, base, sizes, strides_bytes, element_strides,
                        interleave, swizzle};
  if (const char* fault = fault_of(map)) return refuse(fault);
  if (rank < 3 || channels > 256 || pixels > 1024) return refuse("not an image");
  return CUDA_ERROR_NOT_SUPPORTED;  // no kernel uses one, and the emulation knows none
}

}  // namespace

}  // namespace emulate::runtime

using namespace emulate::runtime;

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned,
                                             unsigned long long,
                                             cudaDriverEntryPointQueryResult* result) {
  return call("cudaGetDriverEntryPointByVersion", Asks::driver, [&] {
    const std::string_view name = symbol;
    *function = name == "cuTensorMapEncodeTiled"    ? reinterpret_cast<void*>(&encode_tiled)
                : name == "cuTensorMapEncodeIm2col" ? reinterpret_cast<void*>(&encode_im2col)
                                                    : nullptr;
    *result =
        *function == nullptr ? cudaDriverEntryPointSymbolNotFound : cudaDriverEntryPointSuccess;
    return cudaSuccess;
  });
}
