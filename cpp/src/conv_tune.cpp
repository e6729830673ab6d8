// The algorithm for a shape, by measurement.
#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <tuple>
#include <vector>

#include "alphaflops/conv.hpp"
#include "alphaflops/error.hpp"

namespace alphaflops {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kRoundSeconds = 1e-3;
constexpr int kRounds = 5;

using Key = std::tuple<Isa, bool, std::vector<std::int64_t>>;

Key key_of(const Conv2dShape& s, Isa isa, bool winograd) {
  return {isa,
          winograd,
          {s.batch, s.c_in, s.h_in, s.w_in, s.c_out, s.k_h, s.k_w, s.stride_h, s.stride_w,
           s.pad_top, s.pad_bottom, s.pad_left, s.pad_right, s.dilation_h, s.dilation_w, s.groups}};
}

struct Candidate {
  Conv2d conv;
  std::vector<float> packed, workspace;
  int calls = 1;
  double seconds = std::numeric_limits<double>::infinity();
};

// Rounds take turns, so that a disturbance hits all alike, and the shortest time of each counts.
ConvAlgorithm fastest(const Conv2dShape& s, Isa isa, bool winograd) {
  std::vector<Candidate> candidates;
  for (ConvAlgorithm algorithm : algorithms(s, isa)) {
    const bool is_winograd =
        algorithm == ConvAlgorithm::winograd2 || algorithm == ConvAlgorithm::winograd4;
    if (is_winograd && !winograd) continue;
    candidates.push_back({Conv2d(s, isa, algorithm), {}, {}});
  }
  const auto size = [](std::int64_t n) { return static_cast<std::size_t>(n); };
  const std::vector<float> input(size(s.batch * s.h_in * s.w_in * s.c_in), 1.0f);
  std::vector<float> output(size(s.batch * s.h_out() * s.w_out() * s.c_out));
  const std::vector<float> weights(size(s.c_out * (s.c_in / s.groups) * s.k_h * s.k_w), 1.0f);
  for (Candidate& each : candidates) {
    each.packed.resize(each.conv.packed_size());
    each.workspace.resize(each.conv.workspace_size());
    each.conv.pack(weights.data(), each.packed.data());
  }
  for (int round = 0; round < kRounds; ++round) {
    for (Candidate& each : candidates) {
      const auto begin = Clock::now();
      for (int i = 0; i < each.calls; ++i) {
        each.conv.run(input.data(), each.packed.data(), nullptr, output.data(),
                      each.workspace.data());
      }
      const double seconds =
          std::chrono::duration<double>(Clock::now() - begin).count() / each.calls;
      each.seconds = std::min(each.seconds, seconds);
      each.calls = static_cast<int>(std::clamp(kRoundSeconds / each.seconds, 1.0, 1e4));
    }
  }
  return std::min_element(
             candidates.begin(), candidates.end(),
             [](const Candidate& a, const Candidate& b) { return a.seconds < b.seconds; })
      ->conv.algorithm();
}

}  // namespace

ConvAlgorithm tune(const Conv2dShape& shape, Isa isa, bool winograd) {
  struct Entry {
    std::once_flag once;
    ConvAlgorithm algorithm = ConvAlgorithm::automatic;
  };
  static std::mutex guard;
  static std::map<Key, std::shared_ptr<Entry>> cache;
  const Conv2d checked(shape, isa);  // raises what the constructor raises, before anything is kept
  std::shared_ptr<Entry> entry;
  {
    const std::lock_guard<std::mutex> lock(guard);
    std::shared_ptr<Entry>& slot = cache[key_of(shape, isa, winograd)];
    if (slot == nullptr) slot = std::make_shared<Entry>();
    entry = slot;
  }
  std::call_once(entry->once, [&] {
    static std::mutex timing;  // two timings at once would disturb each other
    const std::lock_guard<std::mutex> lock(timing);
    entry->algorithm = fastest(shape, isa, winograd);
  });
  return entry->algorithm;
}

}  // namespace alphaflops
