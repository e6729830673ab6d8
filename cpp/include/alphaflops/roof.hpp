// The roofs of a machine: what one or several threads together do at most.
//
// Each probe repeats short runs for `duration_s` and returns the best of them. Threads are pinned;
// each has its own share of the memory.
#pragma once

#include <cstdint>
#include <string_view>

#include "alphaflops/dtype.hpp"
#include "alphaflops/isa.hpp"

namespace alphaflops {

enum class Access : std::uint8_t { read, write, triad };
std::string_view to_string(Access access);
/// Raises UnsupportedError for a name that is none of them.
Access parse_access(std::string_view name);

/// Operations a second from registers, a multiply-add being two. Raises UnsupportedError for a
/// dtype or instruction set without kernels here.
double probe_rate(DType dtype, Isa isa, int threads = 1, double duration_s = 0.1);

/// Bytes a second of passes over `bytes` of memory: a sum reads them, a fill writes them, a triad
/// reads two thirds and writes one (what a cache fetches before a write is not counted).
double probe_bandwidth(Access access, Isa isa, std::int64_t bytes, int threads = 1,
                       double duration_s = 0.1);

/// Seconds of a call that has next to nothing to do: a 1x1 convolution of one pixel. Median.
double probe_call_s(Isa isa, int threads = 1);

}  // namespace alphaflops
