#include "alphaflops/dtype.hpp"

#include <array>
#include <string>

#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

struct DTypeFacts {
  std::string_view name;
  std::int64_t bytes;
};
constexpr std::array<DTypeFacts, dtype_count> facts{
    {{"fp32", 4}, {"tf32", 4}, {"fp16", 2}, {"bf16", 2}, {"int8", 1}}};

}  // namespace

std::int64_t size_of(DType dtype) { return facts[static_cast<std::size_t>(dtype)].bytes; }

std::string_view to_string(DType dtype) { return facts[static_cast<std::size_t>(dtype)].name; }

DType parse_dtype(std::string_view name) {
  for (std::size_t i = 0; i < facts.size(); ++i) {
    if (facts[i].name == name) return static_cast<DType>(i);
  }
  throw UnsupportedError("dtype '" + std::string(name) +
                         "' is not known; use one of fp32, tf32, fp16, bf16, int8");
}

}  // namespace alphaflops
