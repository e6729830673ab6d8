// The native kernels behind a C interface, so that contenders.py times them beside other libraries.
#include <sched.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <numeric>
#include <string_view>
#include <thread>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/conv_narrow.hpp"
#include "alphaflops/probe.hpp"
#include "alphaflops/threads.hpp"
#include "contender.hpp"

namespace {

using namespace alphaflops;

Conv2dShape shape_of(const ContenderShape& from) {
  Conv2dShape s;
  s.batch = from.batch;
  s.c_in = from.c_in;
  s.h_in = s.w_in = from.size;
  s.c_out = from.c_out;
  s.k_h = s.k_w = from.kernel;
  s.stride_h = s.stride_w = from.stride;
  s.pad_top = s.pad_bottom = s.pad_left = s.pad_right = from.pad;
  s.groups = from.groups;
  return s;
}

ConvAlgorithm parse_algorithm(std::string_view name) {
  for (ConvAlgorithm each : {ConvAlgorithm::direct, ConvAlgorithm::gemm, ConvAlgorithm::depthwise,
                             ConvAlgorithm::winograd2, ConvAlgorithm::winograd4}) {
    if (to_string(each) == name) return each;
  }
  return ConvAlgorithm::automatic;
}

constexpr int kMaxThreads = 64;

class NativeContender : public Contender {
 public:
  // Seconds on a processor of the thread that took longest, threads running side by side.
  virtual double longest_part(int calls) = 0;
};

// As the executor's and other libraries': a vector load across two cache lines takes twice as long.
template <class T>
struct OnCacheLines {
  using value_type = T;
  static constexpr std::align_val_t line{64};

  OnCacheLines() = default;
  template <class U>
  explicit OnCacheLines(const OnCacheLines<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(::operator new(n * sizeof(T), line)); }
  void deallocate(T* p, std::size_t) { ::operator delete(p, line); }
  bool operator==(const OnCacheLines&) const { return true; }
};

template <class Conv, class X, class W, class Y>
class Native final : public NativeContender {
 public:
  Native(const ContenderShape& shape, const char* isa, const char* algorithm, int threads,
         const void* x, const void* w, const void* bias)
      : conv_(shape_of(shape), parse_isa(isa), parse_algorithm(algorithm)),
        x_(static_cast<const X*>(x)),
        bias_(static_cast<const Y*>(bias)) {
    const Conv2dShape& s = conv_.shape();
    packed_.resize(conv_.packed_size());
    workspace_.resize(std::max(conv_.workspace_size(), conv_.workspace_size(threads)));
    y_.resize(static_cast<std::size_t>(s.batch * s.h_out() * s.w_out() * s.c_out));
    conv_.pack(static_cast<const W*>(w), packed_.data());
    if (threads > 1) pool_ = std::make_unique<ThreadPool>(threads);
  }

  void run() override {
    if (pool_) {
      conv_.run(*pool_, x_, packed_.data(), bias_, y_.data(), workspace_.data());
    } else {
      conv_.run(x_, packed_.data(), bias_, y_.data(), workspace_.data());
    }
  }
  double longest_part(int calls) override {
    const int threads = pool_ ? pool_->size() : 1;
    const std::size_t stride = workspace_.size() / static_cast<std::size_t>(threads);
    std::array<double, kMaxThreads> seconds{};
    const auto part = [&](int thread) {
      const auto index = static_cast<std::size_t>(thread);
      const double begin = thread_seconds();
      conv_.run_part(thread, threads, x_, packed_.data(), bias_, y_.data(),
                     workspace_.data() + index * stride);
      seconds[index] += thread_seconds() - begin;
    };
    for (int i = 0; i < calls; ++i) {
      if (pool_) {
        pool_->run([&](int thread) { part(thread); });
      } else {
        part(0);
      }
    }
    return *std::max_element(seconds.begin(), seconds.end());
  }
  void read(void* to) override { std::copy(y_.begin(), y_.end(), static_cast<Y*>(to)); }

 private:
  Conv conv_;
  const X* x_;
  const Y* bias_;
  std::vector<W, OnCacheLines<W>> packed_;
  std::vector<X, OnCacheLines<X>> workspace_;
  std::vector<Y, OnCacheLines<Y>> y_;
  std::unique_ptr<ThreadPool> pool_;
};

}  // namespace

/// Null, and a line on stderr, where the library refuses. `x`, `w` and `bias` must outlive it.
CONTENDER_EXPORT Contender* native_create(const ContenderShape* shape, const char* dtype,
                                          const char* isa, const char* algorithm, int threads,
                                          const void* x, const void* w, const void* bias) {
  try {
    const std::string_view type = dtype;
    if (type == "bf16") {
      return new Native<Conv2dBf16, Bf16, Bf16, float>(*shape, isa, algorithm, threads, x, w, bias);
    }
    if (type == "int8") {
      return new Native<Conv2dInt8, std::uint8_t, std::int8_t, std::int32_t>(*shape, isa, algorithm,
                                                                             threads, x, w, bias);
    }
    return new Native<Conv2d, float, float, float>(*shape, isa, algorithm, threads, x, w, bias);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return nullptr;
  }
}

CONTENDER_EXPORT double native_longest_part(Contender* contender, int calls) {
  return static_cast<NativeContender*>(contender)->longest_part(calls);
}

/// Operations a second of the arithmetic peak, by the thread's own time, about half a millisecond
/// long.
CONTENDER_EXPORT double native_peak(const char* dtype, const char* isa) {
  const std::string_view type = dtype;
  const auto peak = type == "bf16" ? peak_bf16 : type == "int8" ? peak_int8 : peak_fma;
  const double begin = thread_seconds();
  const double operations = peak(parse_isa(isa), 30000);
  return operations / (thread_seconds() - begin);
}

/// Binds this thread to the i-th processor that the process may use: a pool may have bound its
/// parent to one, which all new threads would share.
void bind_to_processor(int i) {
  cpu_set_t allowed;
  std::memset(&allowed, 0xff, sizeof(allowed));
  sched_setaffinity(0, sizeof(allowed), &allowed);
  sched_getaffinity(0, sizeof(allowed), &allowed);
  for (int processor = 0; processor < CPU_SETSIZE; ++processor) {
    if (!CPU_ISSET(processor, &allowed) || i-- > 0) continue;
    CPU_ZERO(&allowed);
    CPU_SET(processor, &allowed);
    sched_setaffinity(0, sizeof(allowed), &allowed);
    return;
  }
}

/// Operations a second of so many threads that compute side by side, by the wall's clock.
CONTENDER_EXPORT double native_peak_at_once(int threads) {
  const Isa isa = best_isa();
  std::vector<double> operations(static_cast<std::size_t>(threads));
  std::vector<std::thread> running;
  const auto begin = std::chrono::steady_clock::now();
  for (double& each : operations) {
    running.emplace_back([&each, isa, i = static_cast<int>(&each - operations.data())] {
      bind_to_processor(i);
      each = peak_fma(isa, 1000000);
    });
  }
  for (std::thread& each : running) each.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
  return std::accumulate(operations.begin(), operations.end(), 0.0) / took.count();
}

CONTENDER_FUNCTIONS(native)
