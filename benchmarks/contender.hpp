// What contenders.py calls of every library that it times from C++.
#pragma once

#include <time.h>

#include <chrono>
#include <cstdint>

#define CONTENDER_EXPORT extern "C" __attribute__((visibility("default")))

struct ContenderShape {  // square images and kernels
  std::int64_t batch, c_in, size, c_out, kernel, stride, pad, groups;
};

class Contender {
 public:
  virtual ~Contender() = default;
  virtual void run() = 0;
  virtual void read(void* to) = 0;  // the output, NHWC
};

inline double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

/// Seconds that this thread has run on a processor: what others do meanwhile does not count.
inline double thread_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Seconds that `calls` calls take, of this thread or by the wall's clock; the output; the end.
#define CONTENDER_FUNCTIONS(name)                                                            \
  CONTENDER_EXPORT double name##_time(Contender* contender, int calls) {                     \
    const double begin = thread_seconds();                                                   \
    for (int i = 0; i < calls; ++i) contender->run();                                        \
    return thread_seconds() - begin;                                                         \
  }                                                                                          \
  CONTENDER_EXPORT double name##_wall(Contender* contender, int calls) {                     \
    const auto begin = std::chrono::steady_clock::now();                                     \
    for (int i = 0; i < calls; ++i) contender->run();                                        \
    return seconds_since(begin);                                                             \
  }                                                                                          \
  CONTENDER_EXPORT void name##_read(Contender* contender, void* to) { contender->read(to); } \
  CONTENDER_EXPORT void name##_destroy(Contender* contender) { delete contender; }
