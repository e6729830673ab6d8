// A device profile: everything needed to predict on one device, read from one JSON file.
//
// The file is documented in docs/profile.md. Equations are in predict.hpp.
#pragma once

#include <array>
#include <optional>
#include <string>
#include <vector>

#include "alphaflops/dtype.hpp"
#include "alphaflops/work.hpp"

namespace alphaflops {

inline constexpr int profile_version = 1;

enum class Form : std::uint8_t {
  alpha,    // time = (t0^p + (c alpha(S) macs)^p)^(1/p)
  traffic,  // time = (t0^p + (r bytes_read + w bytes_written)^p)^(1/p)
};

/// The cost of one kind of operator in one pass and dtype on the device.
struct CostModel {
  Kind kind = Kind::unknown;
  Pass pass = Pass::forward;
  DType dtype = DType::fp32;
  Form form = Form::alpha;
  // alpha
  double seconds_per_mac = 0.0;  // c
  double beta = 0.0;             // residual slope per further element, 0 < beta < 1
  double gamma = 0.0;            // strength; 0 is plain MACs
  // traffic
  double seconds_per_byte_read = 0.0;
  double seconds_per_byte_written = 0.0;
  // both
  double floor_s = 0.0;    // t0, the cost of a launch
  double sharpness = 1.0;  // p of the p-norm that joins floor and work
  // conformal interval as factors of the prediction
  double lower_factor = 1.0;
  double upper_factor = 1.0;
};

class Profile {
 public:
  /// `origin` is named in errors. Raises ProfileError.
  static Profile parse(const std::string& json, const std::string& origin = "profile");
  /// Raises IoError where the file cannot be read, ProfileError where it is not a profile.
  static Profile load(const std::string& path);

  const std::string& name() const { return name_; }
  const std::string& backend() const { return backend_; }
  /// Coverage of the interval factors, such as 0.9; 0 where the profile has no intervals.
  double interval_level() const { return interval_level_; }
  /// Power drawn under load, where known.
  std::optional<double> power_w() const { return power_w_; }
  const std::vector<CostModel>& models() const { return models_; }

  /// nullptr where the profile does not price such work.
  const CostModel* find(Kind kind, Pass pass, DType dtype) const;
  /// Kinds that the profile declares outside its scope; they are reported as not priced.
  bool out_of_scope(Kind kind) const { return out_of_scope_[static_cast<std::size_t>(kind)]; }

 private:
  std::string name_;
  std::string backend_;
  double interval_level_ = 0.0;
  std::optional<double> power_w_;
  std::vector<CostModel> models_;
  std::array<bool, kind_count> out_of_scope_{};
  std::array<std::array<int, dtype_count>, kind_count> index_{};  // into models_, -1 for none
};

}  // namespace alphaflops
