// Counting checks for the plain test executables.
#pragma once

#include <cstdio>
#include <string>

namespace check {

inline int passed = 0;
inline int failed = 0;

inline bool report(bool ok, const char* file, int line, const std::string& what) {
  if (ok) {
    ++passed;
  } else if (++failed <= 20) {
    std::fprintf(stderr, "%s:%d: %s\n", file, line, what.c_str());
  }
  return ok;
}

inline int finish() {
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}

}  // namespace check

#define CHECK(condition) check::report(static_cast<bool>(condition), __FILE__, __LINE__, #condition)
#define CHECK_MESSAGE(condition, message) \
  check::report(static_cast<bool>(condition), __FILE__, __LINE__, message)

// The expression raises Type with `fragment` in its message.
#define CHECK_RAISES(expression, Type, fragment)                                    \
  do {                                                                              \
    std::string message_ = "raised nothing";                                        \
    bool ok_ = false;                                                               \
    try {                                                                           \
      static_cast<void>(expression);                                                \
    } catch (const Type& error_) {                                                  \
      message_ = error_.what();                                                     \
      ok_ = message_.find(fragment) != std::string::npos;                           \
    } catch (const std::exception& error_) {                                        \
      message_ = std::string("raised another type: ") + error_.what();              \
    }                                                                               \
    check::report(ok_, __FILE__, __LINE__,                                          \
                  std::string(#expression " should raise " #Type ": ") + message_); \
  } while (false)
