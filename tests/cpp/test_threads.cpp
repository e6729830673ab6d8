// The thread pool, and convolutions on several threads against the same on one.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/error.hpp"
#include "alphaflops/threads.hpp"
#include "buffer.hpp"
#include "check.hpp"
#include "conv_cases.hpp"
#include "scarce_memory.hpp"

namespace {

using namespace alphaflops;
using check::Buffer;
using std::int64_t;

void pool_runs_each_once() {
  CHECK_RAISES(ThreadPool(0), ShapeError, "threads is 0");
  CHECK(processor_count() >= 1);
  const int before = processor_count();
  for (bool pin : {false, true}) {
    for (int threads : {1, 2, 3}) {
      ThreadPool pool(threads, pin);
      CHECK(pool.size() <= threads && (pin || pool.size() == threads));
      std::vector<int> plain(static_cast<std::size_t>(pool.size()), 0);
      std::atomic<int> total{0};
      constexpr int kRuns = 2000;
      for (int run = 0; run < kRuns; ++run) {
        pool.run([&](int thread) {
          ++plain[static_cast<std::size_t>(thread)];
          total.fetch_add(1, std::memory_order_relaxed);
        });
        CHECK(total.load() == (run + 1) * pool.size());
      }
      for (int each : plain) CHECK(each == kRuns);
    }
  }
  CHECK(processor_count() == before);
  ThreadPool idle(2);  // destroyed while its threads sleep
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
}

// Where the system refuses a thread, those that were started end and there is an error.
void pool_says_how_many_there_can_be() {
#ifdef CHECK_CAN_LIMIT_MEMORY
  const check::ScarceMemory some(std::int64_t{64} << 20);
  if (!some.holds()) return;
  CHECK_RAISES(ThreadPool(500, false), UnsupportedError,
               "thread pool: threads is 500; the system lets it have ");
#endif
}

// Whether split by rows, pixels or channels, parts write every output once and nothing else.
void check_parts(const Conv2dShape& s, ThreadPool& pool, std::mt19937& random) {
  Buffer x(s.batch * s.h_in * s.w_in * s.c_in), bias(s.c_out);
  Buffer w(s.c_out * (s.c_in / s.groups) * s.k_h * s.k_w);
  for (Buffer* each : {&x, &w, &bias}) each->fill_random(random);
  for (Isa isa : available_isas()) {
    for (ConvAlgorithm algorithm : algorithms(s, isa)) {
      const Conv2d conv(s, isa, algorithm);
      Buffer packed(static_cast<int64_t>(conv.packed_size()));
      Buffer workspace(static_cast<int64_t>(conv.workspace_size(pool.size())));
      conv.pack(w.data(), packed.data());
      Buffer whole(s.batch * s.h_out() * s.w_out() * s.c_out);
      conv.run(x.data(), packed.data(), bias.data(), whole.data(), workspace.data(),
               Activation::relu);
      const std::vector<double> expected(whole.data(), whole.data() + whole.size());
      const std::string name = check::describe(s, isa, algorithm);

      Buffer y(whole.size());
      conv.run(pool, x.data(), packed.data(), bias.data(), y.data(), workspace.data(),
               Activation::relu);
      CHECK_MESSAGE(check::relative_error(y.data(), expected) <= 1e-6, "pool: " + name);
      CHECK_MESSAGE(y.guards_intact() && workspace.guards_intact(), "outside: " + name);

      const int parts = 1 + static_cast<int>(random() % 5);
      y.poison();
      for (int part = parts; part-- > 0;) {
        conv.run_part(part, parts, x.data(), packed.data(), bias.data(), y.data(), workspace.data(),
                      Activation::relu);
      }
      CHECK_MESSAGE(check::relative_error(y.data(), expected) <= 1e-6,
                    std::to_string(parts) + " parts: " + name);
      CHECK_MESSAGE(y.guards_intact() && workspace.guards_intact(), "outside: " + name);
    }
  }
}

}  // namespace

int main() {
  std::mt19937 random(7);
  pool_runs_each_once();
  pool_says_how_many_there_can_be();
  ThreadPool pool(2);
  std::atomic<int> calls{0};
  auto tick = [&calls](int) { ++calls; };
  pool.run(tick);  // a function that has a name, again and again
  pool.run(tick);
  const auto constant = tick;
  pool.run(constant);
  CHECK(calls == 3 * pool.size());
  const Conv2d conv(check::shape(4, 5, 4, 3, 1, 1), Isa::scalar);
  CHECK_RAISES(conv.run_part(2, 2, nullptr, nullptr, nullptr, nullptr, nullptr), ShapeError,
               "part 2 of 2");
  for (const Conv2dShape& s : {check::shape(16, 3, 256, 3, 1, 1), check::shape(48, 1, 512, 1, 1, 0),
                               check::shape(16, 7, 64, 3, 2, 1), check::shape(16, 7, 128, 3, 1, 1),
                               check::shape(8, 9, 33, 1, 1, 0)}) {
    check_parts(s, pool, random);
  }
  const int count = check::shape_count(100);
  for (int i = 0; i < count; ++i) check_parts(check::random_shape(random, 300000), pool, random);
  return check::finish();
}
