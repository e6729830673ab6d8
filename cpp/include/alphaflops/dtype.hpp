// Element types and their sizes.
#pragma once

#include <cstdint>
#include <string_view>

namespace alphaflops {

enum class DType : std::uint8_t { fp32, tf32, fp16, bf16, int8 };
inline constexpr int dtype_count = 5;

/// Bytes one element takes in memory (tf32 is stored as fp32).
std::int64_t size_of(DType dtype);
std::string_view to_string(DType dtype);
/// Raises UnsupportedError listing the known names.
DType parse_dtype(std::string_view name);

}  // namespace alphaflops
