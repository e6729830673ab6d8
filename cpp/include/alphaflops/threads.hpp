// A few persistent threads that run one function together, again and again.
//
// A run costs a microsecond or two while runs follow each other closely: the threads spin for a
// short while before they sleep. It does not allocate.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

namespace alphaflops {

class ThreadPool {
 public:
  /// `threads` counts the caller of `run`, which does its share. With `pin`, each is kept on a
  /// processor of its own (Linux), the constructing thread until the pool is destroyed; there are
  /// then no more threads than processors the constructing thread may use: one, while another
  /// pinned pool of the same thread is alive. Raises ShapeError for threads < 1, UnsupportedError
  /// saying how many there can be where the system refuses one.
  explicit ThreadPool(int threads, bool pin = true);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return size_; }
  bool pinned() const { return pinned_; }

  /// Calls task(context, i) for every i in [0, size()), 0 on the calling thread, and returns when
  /// all have. The task must not raise; one run at a time.
  void run(void (*task)(void* context, int thread), void* context);

  template <class F>
  void run(F&& function) {
    run([](void* context,
           int thread) { (*static_cast<std::remove_reference_t<F>*>(context))(thread); },
        const_cast<void*>(static_cast<const void*>(std::addressof(function))));
  }

 private:
  void work(int thread);
  void join();

  int size_;
  bool pinned_ = false;
  std::vector<int> caller_processors_;  // what the constructing thread may use without the pool
  std::thread::id caller_;
  void (*task_)(void*, int) = nullptr;
  void* context_ = nullptr;
  bool stop_ = false;
  // Apart, as the caller writes one and the threads write the other.
  alignas(64) std::atomic<std::uint32_t> round_{0};
  alignas(64) std::atomic<std::uint32_t> running_{0};
  std::vector<std::thread> threads_;
};

/// Processors this process may use.
int processor_count();

}  // namespace alphaflops
