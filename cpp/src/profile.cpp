#include "alphaflops/profile.hpp"

#include <cmath>
#include <fstream>
#include <iterator>
#include <sstream>

#include "alphaflops/error.hpp"
#include "json.hpp"

namespace alphaflops {
namespace {

/// Reads members of one JSON object and names the place in every complaint.
class Fields {
 public:
  Fields(const json::Value& value, std::string place) : value_(value), place_(std::move(place)) {
    if (value_.object() == nullptr) throw ProfileError(place_ + " must be a JSON object");
  }

  const json::Value& require(const char* key) const {
    const json::Value* value = value_.find(key);
    if (value == nullptr || value->is_null()) {
      throw ProfileError(place_ + ": \"" + key + "\" is missing");
    }
    return *value;
  }

  std::string text(const char* key) const {
    const std::string* text = require(key).string();
    if (text == nullptr) throw ProfileError(place_ + ": \"" + key + "\" must be a string");
    return *text;
  }

  /// A finite number in [least, most].
  double number(const char* key, double least, double most) const {
    return checked(key, require(key), least, most);
  }

  std::optional<double> optional_number(const char* key, double least, double most) const {
    const json::Value* value = value_.find(key);
    if (value == nullptr || value->is_null()) return std::nullopt;
    return checked(key, *value, least, most);
  }

  const json::Array& array(const char* key) const {
    const json::Array* array = require(key).array();
    if (array == nullptr) throw ProfileError(place_ + ": \"" + key + "\" must be an array");
    return *array;
  }

  const json::Value* find(const char* key) const { return value_.find(key); }
  const std::string& place() const { return place_; }

 private:
  double checked(const char* key, const json::Value& value, double least, double most) const {
    const double* number = value.number();
    if (number == nullptr) throw ProfileError(place_ + ": \"" + key + "\" must be a number");
    if (!(*number >= least && *number <= most)) {
      std::ostringstream why;
      why << place_ << ": \"" << key << "\" is " << *number << "; it must be from " << least
          << " to " << most;
      throw ProfileError(why.str());
    }
    return *number;
  }

  const json::Value& value_;
  std::string place_;
};

Form parse_form(const std::string& name, const std::string& place) {
  if (name == "alpha") return Form::alpha;
  if (name == "traffic") return Form::traffic;
  throw ProfileError(place + ": form '" + name +
                     "' is not known to this version; it knows alpha and traffic");
}

CostModel read_model(const json::Value& value, const std::string& place) {
  const Fields fields(value, place);
  CostModel model;
  try {
    model.kind = parse_kind(fields.text("kind"));
    model.dtype = parse_dtype(fields.text("dtype"));
  } catch (const UnsupportedError& e) {
    throw ProfileError(place + ": " + e.what());
  }
  if (const std::string pass = fields.text("pass"); pass != to_string(Pass::forward)) {
    throw ProfileError(place + ": pass '" + pass +
                       "' is not known to this version; it knows forward");
  }
  model.form = parse_form(fields.text("form"), place);
  const Fields p(fields.require("parameters"), place + ".parameters");
  constexpr double largest = 1e6;
  if (model.form == Form::alpha) {
    model.seconds_per_mac = p.number("seconds_per_mac", 0.0, largest);
    model.beta = p.number("beta", 0.0, 1.0);
    model.gamma = p.number("gamma", 0.0, 100.0);
  } else {
    model.seconds_per_byte_read = p.number("seconds_per_byte_read", 0.0, largest);
    model.seconds_per_byte_written = p.number("seconds_per_byte_written", 0.0, largest);
  }
  model.floor_s = p.optional_number("floor_s", 0.0, largest).value_or(0.0);
  model.sharpness = p.optional_number("sharpness", 1.0, 100.0).value_or(1.0);
  if (const json::Value* interval = fields.find("interval"); interval && !interval->is_null()) {
    const Fields factors(*interval, place + ".interval");
    model.lower_factor = factors.number("lower_factor", 0.0, 1.0);
    model.upper_factor = factors.number("upper_factor", 1.0, largest);
  }
  return model;
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
  profile.backend_ = Fields(fields.require("provenance"), origin + ".provenance").text("backend");
  profile.interval_level_ = fields.optional_number("interval_level", 0.0, 1.0).value_or(0.0);
  profile.power_w_ = fields.optional_number("power_w", 0.0, 1e9);
  for (auto& row : profile.index_) row.fill(-1);

  const json::Array& models = fields.array("models");
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::string place = origin + ".models[" + std::to_string(i) + "]";
    const CostModel model = read_model(models[i], place);
    int& slot =
        profile.index_[static_cast<std::size_t>(model.kind)][static_cast<std::size_t>(model.dtype)];
    if (slot >= 0) {
      throw ProfileError(place + ": kind '" + std::string(to_string(model.kind)) + "' in " +
                         std::string(to_string(model.dtype)) + " stands twice");
    }
    slot = static_cast<int>(i);
    profile.models_.push_back(model);
  }
  if (profile.models_.empty()) {
    throw ProfileError(origin + ": \"models\" is empty; the profile prices nothing");
  }
  if (const json::Value* scope = fields.find("out_of_scope")) {
    if (scope->array() == nullptr) {
      throw ProfileError(origin + ": \"out_of_scope\" must be an array of operator kinds");
    }
    for (const json::Value& kind : *scope->array()) {
      if (kind.string() == nullptr) {
        throw ProfileError(origin + ": \"out_of_scope\" must be an array of operator kinds");
      }
      try {
        profile.out_of_scope_[static_cast<std::size_t>(parse_kind(*kind.string()))] = true;
      } catch (const UnsupportedError& e) {
        throw ProfileError(origin + ".out_of_scope: " + e.what());
      }
    }
  }
  return profile;
}

Profile Profile::load(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.good() && !file.eof()) throw IoError(path + ": cannot read this profile");
  return parse(text, path);
}

const CostModel* Profile::find(Kind kind, Pass, DType dtype) const {
  const int slot = index_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(dtype)];
  return slot < 0 ? nullptr : &models_[static_cast<std::size_t>(slot)];
}

}  // namespace alphaflops
