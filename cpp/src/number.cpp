#include "number.hpp"

#include <version>

#ifdef __cpp_lib_to_chars

#include <charconv>

namespace alphaflops {

bool read_double(std::string_view text, double& number) {
  return std::from_chars(text.data(), text.data() + text.size(), number).ec == std::errc();
}

}  // namespace alphaflops

#else  // libc++ and GCC's library read floating-point numbers in late versions only

#include <stdlib.h>
#ifdef __APPLE__
#include <xlocale.h>
#else
#include <locale.h>
#endif

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <string>

namespace alphaflops {

bool read_double(std::string_view text, double& number) {
  static const locale_t plain = newlocale(LC_ALL_MASK, "C", nullptr);
  errno = 0;
  const std::string copy(text);
  number = plain == nullptr ? std::strtod(copy.c_str(), nullptr)
                            : strtod_l(copy.c_str(), nullptr, plain);
  return errno != ERANGE || (number != 0.0 && std::isfinite(number));  // it may be subnormal
}

}  // namespace alphaflops

#endif
