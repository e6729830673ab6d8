// The clock that everything here is timed by.
#pragma once

#include <chrono>

namespace alphaflops {

using Clock = std::chrono::steady_clock;

inline double seconds(Clock::duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace alphaflops
