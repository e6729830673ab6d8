// A reader for the JSON of device profiles (RFC 8259). Private to the core: the package index has
// no package that ships a C++ JSON library's headers, and a profile needs only reading.
#pragma once

#include <cstddef>
#include <string>
#include <variant>
#include <vector>

namespace alphaflops::json {

struct Value;
struct Member;
using Array = std::vector<Value>;
using Object = std::vector<Member>;

struct Value {
  std::variant<std::nullptr_t, bool, double, std::string, Array, Object> data;

  bool is_null() const { return std::holds_alternative<std::nullptr_t>(data); }
  const double* number() const { return std::get_if<double>(&data); }
  const std::string* string() const { return std::get_if<std::string>(&data); }
  const Array* array() const { return std::get_if<Array>(&data); }
  const Object* object() const { return std::get_if<Object>(&data); }
  /// Member of an object; nullptr where it is absent or this is no object.
  const Value* find(const std::string& key) const;
};

struct Member {
  std::string key;
  Value value;
};

/// Raises ProfileError with line and column. Nesting beyond 64 levels is refused.
Value parse(const std::string& text, const std::string& origin);

}  // namespace alphaflops::json
