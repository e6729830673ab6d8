// Reading a profile's JSON with complaints that name the place.
#pragma once

#include <optional>
#include <sstream>
#include <string>

#include "alphaflops/error.hpp"
#include "alphaflops/profile.hpp"
#include "json.hpp"

namespace alphaflops {

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

/// One entry of "models". Raises ProfileError.
CostModel read_model(const json::Value& value, const std::string& place);

/// The entry "weight_reuse". Raises ProfileError.
WeightReuse read_weight_reuse(const json::Value& value, const std::string& place);

}  // namespace alphaflops
