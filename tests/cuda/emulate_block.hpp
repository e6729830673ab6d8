// One block of threads, each a fiber, and all that they wait for: see emulate.hpp.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "emulate_async.hpp"
#include "fiber.hpp"

struct dim3 {
  unsigned x = 1, y = 1, z = 1;
};
inline dim3 threadIdx{0, 0, 0}, blockIdx{0, 0, 0}, blockDim, gridDim;

namespace emulate {

inline constexpr std::size_t guard_bytes = 256;
inline constexpr unsigned char poison = 0xff;  // a NaN in every float format, -1 in integers

struct Thread {
  using Ready = bool (*)(const void*);

  std::unique_ptr<Fiber> fiber;
  dim3 index, block;
  int rank = 0;  // of its block in the cluster
  bool finished = false;
  Ready ready = nullptr;  // null: nothing to wait for
  const void* ready_argument = nullptr;
  std::vector<Copy> copies;                   // of the group that is open
  std::deque<std::vector<Copy>> copy_groups;  // committed, not waited for
  int arrivals_to_come = 0;                   // at barriers, when its copies are there
  Groups stores;                              // of the copy engine, from shared memory
  long long published = 0;                    // when it last had a fence between proxies
  std::exception_ptr error;
};

/// Where lanes exchange values: each deposits one, none goes on before all have. The two slots
/// serve in turn, as a lane may be one meeting ahead of a lane that has yet to read the last.
struct Meeting {
  int width = 0, expected = 0;
  unsigned mask = 0;
  std::array<int, 2> arrived{};
  std::array<std::vector<std::byte>, 2> values;  // lane after lane
  std::vector<long long> joined;                 // by lane
  long long held = 0;                            // meetings that all came to
};

struct Barrier {
  int arrived = 0, expected = 0;
  long long phase = 0;
};

/// The block that runs, or the blocks of a cluster, which run together.
class Block {
 public:
  Thread& current() { return *threads_[current_]; }
  int linear() const { return static_cast<int>(current_ % block_threads_); }
  int rank() const { return static_cast<int>(current_ / block_threads_); }
  std::byte* shared() { return shared_of(rank()); }
  std::byte* shared_of(int rank) {
    return shared_.get() + static_cast<std::size_t>(rank) * pitch_bytes_;
  }
  std::size_t shared_bytes() const { return shared_bytes_; }
  /// Whether a block of the cluster is still there.
  bool lives(int rank) const {
    const auto first = threads_.begin() + rank * static_cast<std::ptrdiff_t>(block_threads_);
    return std::any_of(first, first + static_cast<std::ptrdiff_t>(block_threads_),
                       [](const auto& thread) { return !thread->finished; });
  }
  /// Of an address in the shared memory of any block of the cluster.
  std::size_t offset_of(std::uintptr_t address) const {
    return (address - reinterpret_cast<std::uintptr_t>(shared_.get())) % pitch_bytes_;
  }
  bool coin() { return (random_() & 1u) != 0; }
  void seed(unsigned value) { random_.seed(value); }

  /// The calling thread goes on once ready() holds; others run until then.
  template <class F>
  void wait_until(const F& ready) {
    if (ready()) return;
    Thread& self = current();
    self.ready = [](const void* f) { return (*static_cast<const F*>(f))(); };
    self.ready_argument = &ready;
    self.fiber->suspend();
  }

  /// What the device does by itself: at once, or only when no thread can go on without it, as a
  /// draw decides.
  void do_some_time(std::function<void()> what) {
    if (coin()) {
      what();
    } else {
      later_.push_back(std::move(what));
    }
  }

  /// A thread's write to shared memory, a fence of the calling thread, a read by the matrix units
  /// or the copy engine that it asks for.
  void wrote(const void* at, const Thread* writer) {
    writes_.write(granule_of(at), ++now_, &writer->published);
  }
  void wrote_asynchronously(const void* at) { writes_.forget(granule_of(at)); }
  void publish() { current().published = ++now_; }
  void require_published(const void* at) const {
    if (!writes_.published(granule_of(at), threads_[current_]->published)) {
      fail("no fence.proxy.async after a write that the matrix units or the copy engine read");
    }
  }

  /// Lets every other thread run once.
  void yield() {
    bool passed = false;
    wait_until([&passed] { return std::exchange(passed, true); });
  }

  /// bar.sync id, count: returns once so many threads have come.
  void barrier(int id, int count) {
    Barrier& bar = arrive(id, count);
    const long long phase = arriving_phase_;
    wait_until([&bar, phase] { return bar.phase != phase; });
  }

  /// bar.arrive id, count: counts at the barrier without waiting.
  void barrier_arrive(int id, int count) { arrive(id, count); }

  /// All threads of the cluster.
  void cluster_barrier() { barrier(cluster_barrier_id, static_cast<int>(order_.size())); }

  /// The lanes of `mask` (all where width > 32) among the `width` threads that the calling one is
  /// aligned with each deposit a value; once all have, f(values by lane, own lane) is the result.
  template <class T, class F>
  auto meet(int width, unsigned mask, const T& value, F&& f) {
    static_assert(std::is_trivially_copyable_v<T>);
    const int lane = linear() % width;
    if (width <= 32 && ((mask >> lane) & 1u) == 0) fail("a lane outside its own mask");
    Meeting& m = find(static_cast<int>(current_) - lane, width, mask);
    const auto own = static_cast<std::size_t>(lane);
    const long long number = m.joined[own]++;
    const auto slot = static_cast<std::size_t>(number & 1);
    auto& values = m.values[slot];
    const std::size_t bytes = static_cast<std::size_t>(width) * sizeof(T);
    if (m.arrived[slot] == 0) values.assign(bytes, std::byte{poison});
    if (values.size() != bytes) fail("lanes of a warp meet in different instructions");
    std::memcpy(values.data() + own * sizeof(T), &value, sizeof(T));
    if (++m.arrived[slot] == m.expected) {
      m.arrived[slot] = 0;
      ++m.held;
    }
    wait_until([&m, number] { return m.held > number; });
    return f(reinterpret_cast<const T*>(values.data()), lane);
  }

  /// Runs body() in every thread of a block of that size, or of so many neighbours along x.
  template <class Body>
  void run(dim3 size, std::size_t shared_bytes, const Body& body, unsigned cluster = 1) {
    body_ = [](const void* b) { (*static_cast<const Body*>(b))(); };
    body_argument_ = &body;
    start(size, shared_bytes, cluster);
    try {
      schedule();
    } catch (...) {
      threads_.clear();  // the others are stuck in the middle of theirs
      throw;
    }
    for (unsigned rank = 0; rank < cluster; ++rank) {
      const std::byte* guard = shared_of(static_cast<int>(rank)) + shared_bytes;
      for (std::size_t i = 0; i < guard_bytes; ++i) {
        if (guard[i] != std::byte{poison}) {
          fail("a write beyond the " + std::to_string(shared_bytes) + " bytes of shared memory");
        }
      }
    }
  }

 private:
  Barrier& arrive(int id, int count) {
    const int own = id == cluster_barrier_id ? id : rank() * barriers_a_block + id;
    Barrier& bar = barriers_.at(static_cast<std::size_t>(own));
    if (bar.arrived > 0 && bar.expected != count)
      fail("threads expect different counts at a barrier");
    bar.expected = count;
    arriving_phase_ = bar.phase;
    if (++bar.arrived == count) {
      bar.arrived = 0;
      ++bar.phase;
    }
    return bar;
  }

  Meeting& find(int first, int width, unsigned mask) {
    auto& here = meetings_[static_cast<std::size_t>(first / 32)];
    for (auto& m : here) {
      if (m->mask == mask && m->width == width) return *m;
    }
    auto m = std::make_unique<Meeting>();
    m->width = width;
    m->mask = mask;
    m->expected = width > 32 ? width : __builtin_popcount(mask);
    m->joined.assign(static_cast<std::size_t>(width), 0);
    here.push_back(std::move(m));
    return *here.back();
  }

  void start(dim3 size, std::size_t shared_bytes, unsigned cluster) {
    block_threads_ = std::size_t{size.x} * size.y * size.z;
    if (block_threads_ == 0 || block_threads_ > 1024) {
      fail("a block of " + std::to_string(block_threads_) + " threads");
    }
    if (cluster > most_blocks || (cluster > 1 && block_threads_ % 128 != 0)) {
      fail("a cluster that the emulation does not know");
    }
    const std::size_t count = block_threads_ * cluster;
    if (shared_bytes > 227 * 1024) fail(std::to_string(shared_bytes) + " bytes of shared memory");
    while (threads_.size() < count) {
      threads_.push_back(std::make_unique<Thread>());
      threads_.back()->fiber = std::make_unique<Fiber>(&Block::thread_main, this);
    }
    order_.resize(count);
    for (std::size_t i = 0; i < count; ++i) {
      Thread& t = *threads_[i];
      const auto linear = static_cast<unsigned>(i % block_threads_);
      t.index = {linear % size.x, linear / size.x % size.y, linear / (size.x * size.y)};
      t.rank = static_cast<int>(i / block_threads_);
      t.block = {blockIdx.x + static_cast<unsigned>(t.rank), blockIdx.y, blockIdx.z};
      t.stores = {};
      t.published = 0;
      t.finished = false;
      t.ready = nullptr;
      t.copies.clear();
      t.copy_groups.clear();
      t.arrivals_to_come = 0;
      t.error = nullptr;
      order_[i] = i;
    }
    // Ascending, descending or mixed: each finds mistakes that the others hide.
    switch (random_() % 3) {
      case 0: break;
      case 1: std::reverse(order_.begin(), order_.end()); break;
      default: std::shuffle(order_.begin(), order_.end(), random_);
    }
    meetings_.clear();
    meetings_.resize((count + 31) / 32);
    barriers_ = {};
    later_.clear();
    writes_.clear();
    shared_bytes_ = shared_bytes;
    pitch_bytes_ = (shared_bytes + guard_bytes + 1023) / 1024 * 1024;
    const std::size_t bytes = pitch_bytes_ * cluster;
    if (bytes > allocated_bytes_) {
      shared_.reset(static_cast<std::byte*>(std::aligned_alloc(1024, bytes)));
      allocated_bytes_ = bytes;
    }
    std::memset(shared_.get(), poison, bytes);
  }

  void schedule() {
    std::size_t left = order_.size();
    while (left > 0) {
      bool any = false;
      for (const std::size_t i : order_) {
        Thread& t = *threads_[i];
        if (t.finished || (t.ready != nullptr && !t.ready(t.ready_argument))) continue;
        any = true;
        t.ready = nullptr;
        current_ = i;
        threadIdx = t.index;
        blockIdx = t.block;
        t.fiber->resume();
        if (t.error) std::rethrow_exception(t.error);
        if (t.finished) --left;
      }
      if (!any && !later_.empty()) {
        later_.front()();
        later_.pop_front();
      } else if (!any) {
        fail(std::to_string(left) + " of " + std::to_string(order_.size()) +
             " threads wait at a barrier or collective that the others never come to");
      }
    }
    if (!later_.empty()) fail("a copy is under way when the last thread ends");
  }

  /// What a fiber of the pool does for ever: the body, once a block.
  static void thread_main(void* argument) {
    auto& self = *static_cast<Block*>(argument);
    while (true) {
      Thread& t = self.current();
      try {
        self.body_(self.body_argument_);
        if (t.arrivals_to_come > 0) fail("a thread ends before its copies are there");
      } catch (...) {
        t.error = std::current_exception();
      }
      t.finished = true;
      t.fiber->suspend();
    }
  }

  static constexpr int most_blocks = 2, barriers_a_block = 16;
  static constexpr int cluster_barrier_id = most_blocks * barriers_a_block;

  std::vector<std::unique_ptr<Thread>> threads_;  // a pool: the first order_.size() run
  std::vector<std::size_t> order_;
  std::size_t current_ = 0;
  std::vector<std::vector<std::unique_ptr<Meeting>>> meetings_;  // by warp
  std::array<Barrier, cluster_barrier_id + 1> barriers_{};
  long long arriving_phase_ = 0;
  std::deque<std::function<void()>> later_;

  std::size_t granule_of(const void* at) const {
    return static_cast<std::size_t>(static_cast<const std::byte*>(at) - shared_.get()) / 16;
  }
  SharedWrites writes_;
  long long now_ = 0;
  std::unique_ptr<std::byte, decltype(&std::free)> shared_{nullptr, &std::free};
  std::size_t allocated_bytes_ = 0, shared_bytes_ = 0, pitch_bytes_ = 0, block_threads_ = 1;
  void (*body_)(const void*) = nullptr;
  const void* body_argument_ = nullptr;
  std::mt19937 random_{1};
};

inline Block& block() {
  static Block instance;
  return instance;
}

inline void Copy::perform() const {
  if (source_bytes > 0) std::memcpy(to, from, source_bytes);
  std::memset(static_cast<char*>(to) + source_bytes, 0, bytes - source_bytes);
  block().wrote(to, asked);
}

}  // namespace emulate
