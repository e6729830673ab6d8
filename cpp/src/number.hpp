// Reading numbers, the same in every locale.
#pragma once

#include <string_view>

namespace alphaflops {

/// The decimal number that `text` is; false where a double cannot hold it.
bool read_double(std::string_view text, double& number);

}  // namespace alphaflops
