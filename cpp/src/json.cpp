#include "json.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <set>
#include <string_view>

#include "alphaflops/error.hpp"
#include "number.hpp"

namespace alphaflops::json {
namespace {

constexpr int max_depth = 64;

class Reader {
 public:
  Reader(std::string_view text, const std::string& origin) : text_(text), origin_(origin) {}

  Value read_document() {
    if (text_.starts_with("\xEF\xBB\xBF")) fail("it begins with a byte order mark; leave it out");
    require_utf8();
    at_ = 0;
    Value value = read_value(0);
    skip_space();
    if (at_ < text_.size()) fail("something follows the JSON value");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& why) const {
    const std::string_view before = text_.substr(0, at_);
    const auto line = std::count(before.begin(), before.end(), '\n') + 1;
    const std::size_t newline = before.rfind('\n');
    const std::size_t column = newline == std::string_view::npos ? at_ + 1 : at_ - newline;
    throw ProfileError(origin_ + ": not valid JSON at line " + std::to_string(line) + ", column " +
                       std::to_string(column) + ": " + why);
  }

  void require_utf8() {
    while (at_ < text_.size()) {
      const auto byte = [&](std::size_t i) {
        return at_ + i < text_.size() ? static_cast<unsigned char>(text_[at_ + i]) : 0u;
      };
      const unsigned first = byte(0), second = byte(1);
      const std::size_t tails = first < 0x80 ? 0 : first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
      bool good = first < 0x80 || (first >= 0xC2 && first <= 0xF4);
      for (std::size_t i = 1; i <= tails; ++i) good = good && (byte(i) & 0xC0) == 0x80;
      // Overlong forms, surrogates, and what is beyond the last code point.
      good = good && !(first == 0xE0 && second < 0xA0) && !(first == 0xED && second > 0x9F) &&
             !(first == 0xF0 && second < 0x90) && !(first == 0xF4 && second > 0x8F);
      if (!good) fail("a byte that is not UTF-8 text");
      at_ += 1 + tails;
    }
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\r\n").find(text_[at_]) != text_.npos) ++at_;
  }

  char peek() {
    skip_space();
    if (at_ >= text_.size()) fail("the file ends early");
    return text_[at_];
  }

  bool take(char c) {
    if (peek() != c) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!take(c)) fail(std::string("expected '") + c + "'");
  }

  Value read_value(int depth) {
    if (depth > max_depth) fail("nested more than 64 levels deep");
    switch (peek()) {
      case '{': return {read_object(depth)};
      case '[': return {read_array(depth)};
      case '"': return {read_string()};
      case 't': return read_word("true", {true});
      case 'f': return read_word("false", {false});
      case 'n': return read_word("null", {nullptr});
      default: return {read_number()};
    }
  }

  Value read_word(std::string_view word, Value value) {
    if (text_.substr(at_, word.size()) != word) fail("expected a value");
    at_ += word.size();
    return value;
  }

  /// -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
  double read_number() {
    std::size_t end = at_;
    const auto is = [&](std::string_view any) {
      return end < text_.size() && any.find(text_[end]) != any.npos;
    };
    const auto digits = [&] {
      if (!is("0123456789")) fail("expected a value");
      while (is("0123456789")) ++end;
    };
    if (is("-")) ++end;
    if (is("0")) {
      ++end;
    } else {
      digits();
    }
    if (is(".")) {
      ++end;
      digits();
    }
    if (is("eE")) {
      ++end;
      if (is("+-")) ++end;
      digits();
    }
    double number = 0.0;
    if (!read_double(text_.substr(at_, end - at_), number)) {
      fail("a number out of the range of a double");
    }
    at_ = end;
    return number;
  }

  Object read_object(int depth) {
    Object object;
    std::set<std::string> keys;
    expect('{');
    if (take('}')) return object;
    do {
      if (peek() != '"') fail("expected a member name in quotes");
      std::string key = read_string();
      expect(':');
      if (!keys.insert(key).second) fail("member \"" + key + "\" stands twice");
      object.push_back({std::move(key), read_value(depth + 1)});
    } while (take(','));
    expect('}');
    return object;
  }

  Array read_array(int depth) {
    Array array;
    expect('[');
    if (take(']')) return array;
    do {
      array.push_back(read_value(depth + 1));
    } while (take(','));
    expect(']');
    return array;
  }

  std::string read_string() {
    std::string out;
    ++at_;  // the opening quote
    while (true) {
      if (at_ >= text_.size()) fail("a string is not closed");
      const char c = text_[at_++];
      if (c == '"') return out;
      if (static_cast<unsigned char>(c) < 0x20) fail("a control character in a string");
      if (c == '\\') {
        read_escape(out);
      } else {
        out += c;
      }
    }
  }

  void read_escape(std::string& out) {
    if (at_ >= text_.size()) fail("a string is not closed");
    switch (const char c = text_[at_++]) {
      case '"':
      case '\\':
      case '/': out += c; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'u': append_utf8(out, read_code_point()); break;
      default: fail("an unknown escape in a string");
    }
  }

  std::uint32_t read_hex4() {
    std::uint32_t code = 0;
    if (text_.size() - at_ < 4) fail("a string is not closed");
    const char* const first = text_.data() + at_;
    const auto [end, error] = std::from_chars(first, first + 4, code, 16);
    if (error != std::errc() || end != first + 4) fail("expected four hexadecimal digits");
    at_ += 4;
    return code;
  }

  std::uint32_t read_code_point() {
    const std::uint32_t high = read_hex4();
    if (high < 0xD800 || high > 0xDFFF) return high;
    if (high > 0xDBFF || text_.substr(at_, 2) != "\\u") fail("half of a surrogate pair");
    at_ += 2;
    const std::uint32_t low = read_hex4();
    if (low < 0xDC00 || low > 0xDFFF) fail("half of a surrogate pair");
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3F)); };
    if (code < 0x80) {
      out += static_cast<char>(code);
    } else if (code < 0x800) {
      out += static_cast<char>(0xC0 | (code >> 6));
      tail(0);
    } else if (code < 0x10000) {
      out += static_cast<char>(0xE0 | (code >> 12));
      tail(6);
      tail(0);
    } else {
      out += static_cast<char>(0xF0 | (code >> 18));
      tail(12);
      tail(6);
      tail(0);
    }
  }

  std::string_view text_;
  const std::string& origin_;
  std::size_t at_ = 0;
};

}  // namespace

const Value* Value::find(const std::string& key) const {
  if (const Object* members = object()) {
    for (const auto& [name, value] : *members) {
      if (name == key) return &value;
    }
  }
  return nullptr;
}

Value parse(const std::string& text, const std::string& origin) {
  if (text.find_first_not_of(" \t\r\n") == std::string::npos) {
    throw ProfileError(origin + ": the file is empty; a device profile is a JSON object");
  }
  return Reader(text, origin).read_document();
}

}  // namespace alphaflops::json
