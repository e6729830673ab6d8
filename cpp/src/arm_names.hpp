// Names of AArch64 processors, which state numbers only.
#pragma once

#include <string>

namespace alphaflops {

/// From the hexadecimal numbers of /proc/cpuinfo, such as "0x41" and "0xd0c"; empty without them.
std::string arm_name(const std::string& implementer, const std::string& part);

}  // namespace alphaflops
