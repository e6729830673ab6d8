// Times programs by the device's own clock.
//
// Everything of a batch is enqueued while a blocking kernel holds the stream back, so that the host
// is out of the way when it runs: what the events see is the device. docs/gpu.md has the reasons.
#pragma once

#include <cuda_runtime_api.h>

#include <memory>
#include <vector>

#include "../program.hpp"

namespace alphaflops::cuda {

class Timer {
 public:
  explicit Timer(int device = 0);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  /// The word that the blocking kernel waits for, as the device sees it.
  std::uint64_t flag() const;
  /// The program that waits for the flag; without one, nothing holds the stream back.
  void set_blocker(std::shared_ptr<const Program> blocker);

  /// Seconds a call of `calls` calls in a row. The programs take turns.
  double hot(const std::vector<const Program*>& programs, int calls);
  /// Seconds of each of `calls` calls; `before` runs before each, outside of what is timed.
  std::vector<double> cold(const std::vector<const Program*>& programs,
                           const std::vector<const Program*>& before, int calls);
  /// Seconds a call by the host's clock, launches not held back: what a stream of launches costs.
  double enqueued(const std::vector<const Program*>& programs, int calls);

 private:
  class Held;
  cudaEvent_t event(std::size_t i);

  int device_ = 0;
  cudaStream_t stream_{};
  unsigned* flag_ = nullptr;
  std::shared_ptr<const Program> blocker_;
  std::vector<cudaEvent_t> events_;
};

}  // namespace alphaflops::cuda
