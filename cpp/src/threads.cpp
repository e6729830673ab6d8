// Threads that wait for work: spinning first, then asleep.
#include "alphaflops/threads.hpp"

#include <pthread.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "alphaflops/error.hpp"
#include "platform.hpp"
#include "start_thread.hpp"

namespace alphaflops {
namespace {

// About 20 microseconds: longer than the gap between two layers, shorter than a time slice.
constexpr int kSpins = 1000;

void pause() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb");  // about as long; yield takes no time on most
#endif
}

// Returns the value once it is another than `old`.
std::uint32_t await_change(const std::atomic<std::uint32_t>& value, std::uint32_t old) {
  for (int i = 0; i < kSpins; ++i) {
    const std::uint32_t now = value.load(std::memory_order_acquire);
    if (now != old) return now;
    pause();
  }
  value.wait(old, std::memory_order_acquire);
  return value.load(std::memory_order_acquire);
}

}  // namespace

int processor_count() {
  const std::vector<int> allowed = thread_affinity();
  if (!allowed.empty()) return static_cast<int>(allowed.size());
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

ThreadPool::ThreadPool(int threads, bool pin)
    : size_(threads), caller_(std::this_thread::get_id()) {
  if (threads < 1) {
    throw ShapeError("thread pool: threads is " + std::to_string(threads) +
                     "; it must be 1 or more");
  }
  const std::vector<int> processors = pin ? thread_affinity() : std::vector<int>{};
  if (!processors.empty()) size_ = std::min(size_, static_cast<int>(processors.size()));
  threads_.reserve(static_cast<std::size_t>(size_ - 1));
  try {
    for (int i = 1; i < size_; ++i) {
      start_thread("thread pool", size_, threads_, [this, i] { work(i); });
    }
  } catch (...) {
    join();
    throw;
  }
  if (!processors.empty()) {
    pinned_ = bind_thread(pthread_self(), {processors[0]});
    for (std::size_t i = 0; i < threads_.size(); ++i) {
      pinned_ = bind_thread(threads_[i].native_handle(), {processors[i + 1]}) && pinned_;
    }
    caller_processors_ = processors;
  }
}

void ThreadPool::join() {
  stop_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& each : threads_) each.join();
}

ThreadPool::~ThreadPool() {
  join();
  if (!caller_processors_.empty() && std::this_thread::get_id() == caller_) {
    bind_thread(pthread_self(), caller_processors_);
  }
}

void ThreadPool::run(void (*task)(void* context, int thread), void* context) {
  task_ = task;
  context_ = context;
  running_.store(static_cast<std::uint32_t>(size_ - 1), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  task(context, 0);
  for (std::uint32_t left = running_.load(std::memory_order_acquire); left != 0;) {
    left = await_change(running_, left);
  }
}

void ThreadPool::work(int thread) {
  std::uint32_t round = 0;
  for (;;) {
    round = await_change(round_, round);
    if (stop_) return;
    task_(context_, thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_one();
  }
}

}  // namespace alphaflops
