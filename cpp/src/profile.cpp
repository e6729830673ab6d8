#include "alphaflops/profile.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <sstream>
#include <utility>

#include "alphaflops/error.hpp"
#include "profile_fields.hpp"

namespace alphaflops {
namespace {

/// Whose model prices a kind that a device was never timed on.
constexpr std::array<std::pair<Kind, Kind>, 8> stand_ins{{
    {Kind::matmul, Kind::linear},
    {Kind::attention, Kind::matmul},
    {Kind::recurrent, Kind::linear},
    {Kind::lstm, Kind::recurrent},
    {Kind::conv_transposed, Kind::conv_spatial},
    {Kind::conv_3d, Kind::conv_spatial},
    {Kind::reduce, Kind::pool},
    {Kind::transcendental, Kind::elementwise},
}};

/// In which operators were timed. Raises ProfileError.
Mode read_mode(const Fields& provenance) {
  const json::Value* mode = provenance.find("mode");
  if (mode == nullptr || mode->is_null()) return Mode::fused;
  try {
    return parse_mode(provenance.text("mode"));
  } catch (const UnsupportedError& e) {
    throw ProfileError(provenance.place() + ": " + e.what());
  }
}

}  // namespace

Profile Profile::parse(const std::string& text, const std::string& origin) {
  const json::Value document = json::parse(text, origin);
  const Fields fields(document, origin);
  const json::Value* format = document.find("format");
  if (format == nullptr || format->string() == nullptr ||
      *format->string() != "alphaflops-profile") {
    throw ProfileError(origin +
                       ": this is no device profile (\"format\" is not \"alphaflops-profile\")");
  }
  const double version = fields.number("version", 0.0, 1e9);
  if (version != profile_version) {
    std::ostringstream why;
    why << origin << ": profile version " << version << " is not the one this library reads ("
        << profile_version << "); calibrate again, or install a matching alphaflops";
    throw ProfileError(why.str());
  }
  Profile profile;
  profile.name_ = fields.text("name");
  const Fields provenance(fields.require("provenance"), origin + ".provenance");
  profile.backend_ = provenance.text("backend");
  profile.mode_ = read_mode(provenance);
  profile.interval_level_ = fields.optional_number("interval_level", 0.0, 1.0).value_or(0.0);
  profile.overhead_s_ = fields.optional_number("overhead_s", 0.0, 1e6).value_or(0.0);
  profile.power_w_ = fields.optional_number("power_w", 0.0, 1e9);

  const json::Array& models = fields.array("models");
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string place = origin + ".models[" + std::to_string(i) + "]";
    const CostModel model = read_model(models[i], place);
    if (models[i].find("interval") != nullptr && !models[i].find("interval")->is_null() &&
        profile.interval_level_ == 0.0) {
      throw ProfileError(origin +
                         ": models have intervals but \"interval_level\" is missing; state their "
                         "coverage, such as 0.9");
    }
    int& slot = profile.slot(model.kind, model.pass, model.dtype);
    if (slot != 0) {
      throw ProfileError(place + ": kind '" + std::string(to_string(model.kind)) + "' in " +
                         std::string(to_string(model.dtype)) + ", " +
                         std::string(to_string(model.pass)) + ", stands twice");
    }
    profile.models_.push_back(model);
    slot = static_cast<int>(profile.models_.size());
  }
  if (profile.models_.empty()) {
    throw ProfileError(origin + ": \"models\" is empty; the profile prices nothing");
  }
  if (const json::Value* reuse = fields.find("weight_reuse")) {
    profile.weight_reuse_ = read_weight_reuse(*reuse, origin + ".weight_reuse");
  }
  if (const json::Value* scope = fields.find("out_of_scope")) {
    if (scope->array() == nullptr) {
      throw ProfileError(origin + ": \"out_of_scope\" must be an array of operator kinds");
    }
    for (const json::Value& kind : *scope->array()) {
      if (kind.string() == nullptr) {
        throw ProfileError(origin + ": \"out_of_scope\" must be an array of operator kinds");
      }
      profile.leave_out(*kind.string(), origin);
    }
  }
  profile.let_others_stand_in();
  return profile;
}

void Profile::leave_out(const std::string& name, const std::string& origin) {
  Kind kind{};
  try {
    kind = parse_kind(name);
  } catch (const UnsupportedError& e) {
    throw ProfileError(origin + ".out_of_scope: " + e.what());
  }
  if (std::ranges::find(models_, kind, &CostModel::kind) != models_.end()) {
    throw ProfileError(origin + ": kind '" + name +
                       "' has a model and stands in \"out_of_scope\"; keep one");
  }
  out_of_scope_[static_cast<std::size_t>(kind)] = true;
}

void Profile::let_others_stand_in() {
  const auto fill = [](auto& row, const auto& from) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (row[i] == 0) row[i] = from[i];
    }
  };
  for (auto& passes : index_.of) {
    for (auto& row : passes) fill(row, passes.front());  // forward
  }
  for (const auto& [kind, other] : stand_ins) {
    if (out_of_scope(kind)) continue;
    if (out_of_scope(other)) out_of_scope_[static_cast<std::size_t>(kind)] = true;
    for (std::size_t pass = 0; pass < pass_count; ++pass) {
      fill(index_.of[static_cast<std::size_t>(kind)][pass],
           index_.of[static_cast<std::size_t>(other)][pass]);
    }
  }
  // Theirs are weights too, where others stand in by what they multiply.
  for (const Kind kind : {Kind::conv_transposed, Kind::conv_3d}) {
    double& half = weight_reuse_.half_rows[static_cast<std::size_t>(kind)];
    if (half == 0.0) {
      half = weight_reuse_.half_rows[static_cast<std::size_t>(Kind::conv_spatial)];
    }
  }
  // A host's calls have no element type. Not every device was timed on them.
  const auto calls = static_cast<std::size_t>(Kind::call);
  for (auto& row : index_.of[calls]) {
    const auto timed = std::ranges::find_if(row, [](int slot) { return slot != 0; });
    if (timed == row.end()) {
      out_of_scope_[calls] = true;
    } else {
      std::ranges::replace(row, 0, *timed);
    }
  }
}

Profile Profile::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  std::array<char, 4096> part;
  do {
    file.read(part.data(), part.size());
    text.append(part.data(), static_cast<std::size_t>(file.gcount()));
  } while (file);
  if (!file.eof()) throw IoError(path + ": cannot read this profile; name a profile file");
  return parse(text, path);
}

}  // namespace alphaflops
