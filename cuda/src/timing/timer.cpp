#include "timer.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <string>

#include "../check.hpp"
#include "../device.hpp"

namespace alphaflops::cuda {

namespace {

// A stream takes about a thousand launches before the host has to wait, which it must not do while
// the device waits for it.
constexpr int most_held = 400;

int launches_of(const std::vector<const Program*>& programs) {
  int count = 0;
  for (const Program* each : programs) count += each->launches() + 1;  // an event costs as much
  return std::max(count, 1);
}

/// Of the largest of programs that take turns.
int most_launches_of(const std::vector<const Program*>& programs) {
  int most = 1;
  for (const Program* each : programs) most = std::max(most, each->launches() + 1);
  return most;
}

void require_work(const std::vector<const Program*>& programs, int calls) {
  if (programs.empty() || calls < 1) {
    throw ShapeError(std::to_string(calls) + " calls of " + std::to_string(programs.size()) +
                     " programs cannot be timed; give at least one of each");
  }
}

double seconds(cudaEvent_t begin, cudaEvent_t end) {
  float time_ms = 0.0F;
  check(cudaEventElapsedTime(&time_ms, begin, end), "reading events");
  return 1e-3 * static_cast<double>(time_ms);
}

}  // namespace

/// Holds the stream back until it goes out of scope, on an error as well.
class Timer::Held {
 public:
  explicit Held(Timer& timer) : flag_(timer.flag_) {
    std::atomic_ref<unsigned>(*flag_).store(0);
    if (timer.blocker_) timer.blocker_->launch(timer.stream_);
  }
  ~Held() { release(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  void release() { std::atomic_ref<unsigned>(*flag_).store(1); }

 private:
  unsigned* flag_;
};

Timer::Timer(int device) : device_(device) {
  require_healthy();
  const CurrentDevice current(device_);
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
  check(cudaHostAlloc(reinterpret_cast<void**>(&flag_), sizeof *flag_, cudaHostAllocMapped),
        "taking a word that host and device share");
  *flag_ = 1;
}

Timer::~Timer() {
  for (const cudaEvent_t each : events_) cudaEventDestroy(each);
  cudaFreeHost(flag_);
  cudaStreamDestroy(stream_);
}

std::uint64_t Timer::flag() const {
  void* seen = nullptr;
  check(cudaHostGetDevicePointer(&seen, flag_, 0), "finding the shared word on the device");
  return reinterpret_cast<std::uint64_t>(seen);
}

void Timer::set_blocker(std::shared_ptr<const Program> blocker) { blocker_ = std::move(blocker); }

cudaEvent_t Timer::event(std::size_t i) {
  while (events_.size() <= i) {
    cudaEvent_t made{};
    check(cudaEventCreate(&made), "making an event");
    events_.push_back(made);
  }
  return events_[i];
}

double Timer::hot(const std::vector<const Program*>& programs, int calls) {
  require_work(programs, calls);
  const CurrentDevice current(device_);
  const int most = std::max(1, most_held / most_launches_of(programs));
  for (const Program* each : programs) each->launch_if_new(stream_);
  event(1);  // before anything is held: the driver may wait where it makes one
  double total_s = 0.0;
  int turn = 0;
  for (int left = calls; left > 0;) {
    const int now = std::min(left, most);
    Held held(*this);
    check(cudaEventRecord(event(0), stream_), "recording an event");
    for (int i = 0; i < now; ++i) {
      programs[static_cast<std::size_t>(turn++) % programs.size()]->launch(stream_);
    }
    check(cudaEventRecord(event(1), stream_), "recording an event");
    held.release();
    check(cudaStreamSynchronize(stream_), "running what is timed");
    total_s += seconds(event(0), event(1));
    left -= now;
  }
  return total_s / calls;
}

std::vector<double> Timer::cold(const std::vector<const Program*>& programs,
                                const std::vector<const Program*>& before, int calls) {
  require_work(programs, calls);
  const CurrentDevice current(device_);
  for (const Program* each : before) each->launch_if_new(stream_);
  for (const Program* each : programs) each->launch_if_new(stream_);
  const int most = std::max(1, most_held / (most_launches_of(programs) + launches_of(before)));
  std::vector<double> times_s;
  for (int left = calls; left > 0;) {
    const int now = std::min(left, most);
    event(2 * static_cast<std::size_t>(now) - 1);  // the driver may wait where it makes events
    Held held(*this);
    for (int i = 0; i < now; ++i) {
      for (const Program* each : before) each->launch(stream_);
      const auto turn = times_s.size() + static_cast<std::size_t>(i);
      check(cudaEventRecord(event(2 * static_cast<std::size_t>(i)), stream_), "recording an event");
      programs[turn % programs.size()]->launch(stream_);
      check(cudaEventRecord(event(2 * static_cast<std::size_t>(i) + 1), stream_),
            "recording an event");
    }
    held.release();
    check(cudaStreamSynchronize(stream_), "running what is timed");
    for (int i = 0; i < now; ++i) {
      const auto first = 2 * static_cast<std::size_t>(i);
      times_s.push_back(seconds(event(first), event(first + 1)));
    }
    left -= now;
  }
  return times_s;
}

double Timer::enqueued(const std::vector<const Program*>& programs, int calls) {
  require_work(programs, calls);
  const CurrentDevice current(device_);
  check(cudaStreamSynchronize(stream_), "waiting for the device");
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) {
    programs[static_cast<std::size_t>(i) % programs.size()]->launch(stream_);
  }
  check(cudaStreamSynchronize(stream_), "running what is timed");
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return passed.count() / calls;
}

}  // namespace alphaflops::cuda
