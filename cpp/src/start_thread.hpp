// Starting one more thread, with an error of the library where the system refuses.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "alphaflops/error.hpp"

namespace alphaflops {

/// Adds a thread that runs `work`. `wanted` counts those of `threads`, all together, and the
/// caller.
template <typename Work>
void start_thread(const std::string& who, int wanted, std::vector<std::thread>& threads,
                  Work work) {
  try {
    threads.emplace_back(std::move(work));
  } catch (const std::system_error& e) {
    const std::string most = std::to_string(threads.size() + 1);
    throw UnsupportedError(who + ": threads is " + std::to_string(wanted) +
                           "; the system lets it have " + most + " (" + e.code().message() +
                           "), ask for " + most + " or fewer");
  }
}

/// Threads that are waited for at the end of a block, as std::jthread is, which libc++ lacks before
/// its version 20.
struct JoinedThreads {
  JoinedThreads() = default;
  JoinedThreads(const JoinedThreads&) = delete;
  JoinedThreads& operator=(const JoinedThreads&) = delete;
  ~JoinedThreads() {
    for (std::thread& each : threads) each.join();
  }

  std::vector<std::thread> threads;
};

}  // namespace alphaflops
