// The algorithm for a shape, by measurement.
#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <utility>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/conv_bench.hpp"
#include "alphaflops/conv_narrow.hpp"
#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

constexpr double kRoundSeconds = 1e-3;
constexpr int kRounds = 5;
// As long as the best so far: no further rounds. A first call may be late for many reasons.
constexpr double kHopeless = 1.5, kHopelessAtFirst = 4.0;
constexpr double kLongSeconds = 10e-3;  // a call so long is timed twice and no more
constexpr double kPreferred = 0.97;

constexpr ConvAlgorithm kAlgorithms[] = {ConvAlgorithm::direct,    ConvAlgorithm::gemm,
                                         ConvAlgorithm::depthwise, ConvAlgorithm::grouped,
                                         ConvAlgorithm::winograd2, ConvAlgorithm::winograd4};

using Key = std::tuple<DType, Isa, int, bool, std::vector<std::int64_t>>;

Key key_of(const Conv2dShape& s, DType dtype, Isa isa, int threads, bool winograd) {
  return {dtype,
          isa,
          threads,
          winograd,
          {s.batch, s.c_in, s.h_in, s.w_in, s.c_out, s.k_h, s.k_w, s.stride_h, s.stride_w,
           s.pad_top, s.pad_bottom, s.pad_left, s.pad_right, s.dilation_h, s.dilation_w, s.groups}};
}

struct Candidate {
  ConvBench bench;
  double seconds = std::numeric_limits<double>::infinity();  // the shortest so far
};

std::vector<Candidate> candidates_for(const Conv2dShape& shape,
                                      const std::shared_ptr<ConvWorkbench>& workbench,
                                      ConvBenchOptions options) {
  std::vector<Candidate> candidates;
  for (const ConvAlgorithm algorithm : kAlgorithms) {
    const bool is_winograd =
        algorithm == ConvAlgorithm::winograd2 || algorithm == ConvAlgorithm::winograd4;
    if (is_winograd && !options.winograd) continue;
    options.algorithm = algorithm;
    try {
      candidates.push_back({ConvBench(shape, workbench, options)});
    } catch (const Error&) {  // it does not do the shape, or needs too much memory
    }
  }
  return candidates;
}

// Rounds take turns, so that a disturbance hits all alike, and the shortest time of each counts.
ConvAlgorithm fastest(const Conv2dShape& shape, const std::shared_ptr<ConvWorkbench>& workbench,
                      const ConvBenchOptions& options, ConvAlgorithm planned) {
  std::vector<Candidate> candidates = candidates_for(shape, workbench, options);
  if (candidates.size() == 1) return candidates[0].bench.algorithm();
  double best = std::numeric_limits<double>::infinity();
  for (int round = 0; round < kRounds; ++round) {
    for (Candidate& each : candidates) {
      const double hopeless = round == 1 ? kHopelessAtFirst : kHopeless;
      if (round == 0) {
        each.seconds = each.bench.warm_up();
      } else if (each.seconds <= hopeless * best && (round == 1 || each.seconds < kLongSeconds)) {
        const auto calls = static_cast<std::int64_t>(
            std::clamp(kRoundSeconds / std::max(each.seconds, 1e-9), 1.0, 1e4));
        each.seconds = std::min(each.seconds, each.bench.sample(calls).time_s);
      }
      best = std::min(best, each.seconds);
    }
  }
  const auto rank = [&](const Candidate& each) {
    return each.seconds * (each.bench.algorithm() == planned ? kPreferred : 1.0);
  };
  return std::min_element(candidates.begin(), candidates.end(),
                          [&](const Candidate& a, const Candidate& b) { return rank(a) < rank(b); })
      ->bench.algorithm();
}

// What `choose` said the first time for a key; threads that ask at once wait for one answer.
template <class Choose>
ConvAlgorithm remembered(const Key& key, Choose choose) {
  struct Entry {
    std::once_flag once;
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
  };
  static std::mutex guard;
  static std::map<Key, std::shared_ptr<Entry>> cache;
  std::shared_ptr<Entry> entry;
  {
    const std::lock_guard<std::mutex> lock(guard);
    std::shared_ptr<Entry>& slot = cache[key];
    if (slot == nullptr) slot = std::make_shared<Entry>();
    entry = slot;
  }
  std::call_once(entry->once, [&] {
    static std::mutex timing;  // two timings at once would disturb each other
    const std::lock_guard<std::mutex> lock(timing);
    entry->algorithm = choose();
  });
  return entry->algorithm;
}

ConvAlgorithm planned_for(const Conv2dShape& shape, DType dtype, Isa isa) {
  switch (dtype) {
    case DType::bf16: return Conv2dBf16(shape, isa).algorithm();
    case DType::int8: return Conv2dInt8(shape, isa).algorithm();
    default: return Conv2d(shape, isa).algorithm();
  }
}

}  // namespace

ConvAlgorithm tune(const Conv2dShape& shape, std::shared_ptr<ConvWorkbench> workbench,
                   const ConvBenchOptions& options) {
  ConvBenchOptions plain = options;
  plain.algorithm = ConvAlgorithm::automatic;
  plain.layout = Layout::nhwc;
  plain.isa = options.isa.value_or(best_isa(options.dtype));
  plain.threads = options.threads == 0 ? workbench->threads() : options.threads;
  const ConvBench checked(shape, workbench, plain);  // raises before anything is kept
  return remembered(key_of(shape, plain.dtype, *plain.isa, plain.threads, plain.winograd), [&] {
    return fastest(shape, workbench, plain, planned_for(shape, plain.dtype, *plain.isa));
  });
}

ConvAlgorithm tune(const Conv2dShape& shape, Isa isa, bool winograd) {
  const ConvAlgorithm planned = planned_for(shape, DType::fp32, isa);  // raises, as above
  return remembered(key_of(shape, DType::fp32, isa, 1, winograd), [&] {
    const ConvBenchOptions options{.isa = isa, .winograd = winograd};
    return fastest(shape, std::make_shared<ConvWorkbench>(), options, planned);
  });
}

}  // namespace alphaflops
