// A device profile: everything needed to predict on one device, read from one JSON file.
//
// The file is documented in docs/profile.md. Equations are in cost.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "alphaflops/cost.hpp"
#include "alphaflops/dtype.hpp"
#include "alphaflops/reuse.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

inline constexpr int profile_version = 1;

/// The cost of one kind of operator in one pass and dtype on the device.
struct CostModel {
  Kind kind = Kind::unknown;
  Pass pass = Pass::forward;
  DType dtype = DType::fp32;
  Cost cost;
  CacheTerms cache;
  FreshMemory fresh;
  Domain domain;          // what was measured, where known
  Forest residual;        // a correction inside the domain; may be empty
  bool per_step = false;  // of one step of a recurrence or one call: a row costs as many as it has
  // conformal interval as factors of the prediction
  double lower_factor = 1.0;
  double upper_factor = 1.0;
  std::vector<std::uint8_t> timed;  // 0 or 1 by OpCode; empty where it is not known

  /// Whether the operator, or one that does as much, was among what was measured.
  bool was_timed(OpCode op) const { return timed.empty() || timed[op] != 0; }
};

/// One that is default-constructed or moved from prices nothing.
class Profile {
 public:
  /// `origin` is named in errors. Raises ProfileError.
  static Profile parse(const std::string& json, const std::string& origin = "profile");
  /// Raises IoError where the file cannot be read, ProfileError where it is not a profile.
  static Profile load(const std::string& path);

  const std::string& name() const { return name_; }
  const std::string& backend() const { return backend_; }
  /// Which operators shared a launch when it was measured; fused where the profile does not say.
  Mode mode() const { return mode_; }
  /// Coverage of the interval factors, such as 0.9; 0 where the profile has no intervals.
  double interval_level() const { return interval_level_; }
  /// Power drawn under load, where known.
  std::optional<double> power_w() const { return power_w_; }
  /// Seconds that a run of a network costs beyond its launches.
  double overhead_s() const { return overhead_s_; }
  const std::vector<CostModel>& models() const { return models_; }
  /// What the caches give where a network runs again and again.
  const WeightReuse& weight_reuse() const { return weight_reuse_; }

  /// nullptr where the profile does not price such work. A pass that was not calibrated is priced
  /// as the forward pass of the same work, and matmul, attention, recurrent, reduce and
  /// transcendental as the kind that is nearest; the model found then says another pass or kind
  /// than was asked for.
  const CostModel* find(Kind kind, Pass pass, DType dtype) const {
    const int slot = index_.of[static_cast<std::size_t>(kind)][static_cast<std::size_t>(pass)]
                              [static_cast<std::size_t>(dtype)];
    return slot == 0 ? nullptr : &models_[static_cast<std::size_t>(slot) - 1];
  }
  /// Kinds that the profile declares outside its scope; they are reported as not priced.
  bool out_of_scope(Kind kind) const { return out_of_scope_[static_cast<std::size_t>(kind)]; }

 private:
  /// Places in models_, counted from 1, 0 for none; empty once moved from, as models_ then is.
  struct Index {
    std::array<std::array<std::array<int, dtype_count>, pass_count>, kind_count> of{};

    Index() = default;
    Index(const Index&) = default;
    Index& operator=(const Index&) = default;
    Index(Index&& other) noexcept : of(std::exchange(other.of, {})) {}
    Index& operator=(Index&& other) noexcept {
      of = std::exchange(other.of, {});
      return *this;
    }
  };

  int& slot(Kind kind, Pass pass, DType dtype) {
    return index_.of[static_cast<std::size_t>(kind)][static_cast<std::size_t>(pass)]
                    [static_cast<std::size_t>(dtype)];
  }
  void leave_out(const std::string& kind, const std::string& origin);
  void let_others_stand_in();

  std::string name_;
  std::string backend_;
  Mode mode_ = Mode::fused;
  double interval_level_ = 0.0;
  std::optional<double> power_w_;
  double overhead_s_ = 0.0;
  std::vector<CostModel> models_;
  WeightReuse weight_reuse_;
  std::array<bool, kind_count> out_of_scope_{};
  Index index_;
};

}  // namespace alphaflops
