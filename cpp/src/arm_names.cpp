#include "arm_names.hpp"

#include <string_view>

namespace alphaflops {
namespace {

struct ArmPart {
  std::string_view implementer, part, name;
};

// MIDR_EL1 in the reference manual of each core; lscpu has the same. Cores of servers and of boards
// that networks run on.
constexpr ArmPart arm_parts[] = {
    {"0x41", "0xd03", "Arm Cortex-A53"},   {"0x41", "0xd05", "Arm Cortex-A55"},
    {"0x41", "0xd07", "Arm Cortex-A57"},   {"0x41", "0xd08", "Arm Cortex-A72"},
    {"0x41", "0xd0b", "Arm Cortex-A76"},   {"0x41", "0xd0c", "Arm Neoverse-N1"},
    {"0x41", "0xd40", "Arm Neoverse-V1"},  {"0x41", "0xd41", "Arm Cortex-A78"},
    {"0x41", "0xd42", "Arm Cortex-A78AE"}, {"0x41", "0xd49", "Arm Neoverse-N2"},
    {"0x41", "0xd4f", "Arm Neoverse-V2"},  {"0x41", "0xd83", "Arm Neoverse-V3AE"},
    {"0x41", "0xd84", "Arm Neoverse-V3"},  {"0x41", "0xd8e", "Arm Neoverse-N3"},
    {"0x46", "0x001", "Fujitsu A64FX"},    {"0x48", "0xd01", "HiSilicon TaiShan-v110"},
    {"0x4e", "0x004", "NVIDIA Carmel"},    {"0x51", "0x001", "Qualcomm Oryon"},
    {"0x61", "0x022", "Apple Icestorm"},   {"0x61", "0x023", "Apple Firestorm"},
    {"0xc0", "0xac3", "Ampere-1"},         {"0xc0", "0xac4", "Ampere-1a"},
};

}  // namespace

std::string arm_name(const std::string& implementer, const std::string& part) {
  for (const ArmPart& each : arm_parts) {
    if (each.implementer == implementer && each.part == part) return std::string(each.name);
  }
  return part.empty() ? "" : "AArch64 implementer " + implementer + " part " + part;
}

}  // namespace alphaflops
