#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

#include "base/number.hpp"
#include "base/time.hpp"

/// Lines for operators: what happened, to what, what happens next; fields, not prose. Any thread; a line costs about a
/// microsecond when its level is on, a branch when it is off. docs/LOGGING.md.
namespace parley::log {

enum class Level : std::uint8_t { Debug, Info, Warn, Error };
enum class Format : std::uint8_t { Text, Json, Journal };

/// A field's value: a number, a truth value, or text that need not be clean (it is escaped when written).
class Value {
 public:
  template <std::integral Integer>
  Value(Integer number)
      : number_(static_cast<std::int64_t>(number)), kind_(std::is_signed_v<Integer> ? Kind::Number : Kind::Unsigned) {}
  Value(bool truth) : number_(truth ? 1 : 0), kind_(Kind::Truth) {}
  Value(double number) : real_(number), kind_(Kind::Real) {}
  template <class Tag>
  Value(Number<Tag> number) : Value(number.value) {}
  Value(std::string_view text) : text_(text), kind_(Kind::Text) {}
  Value(const std::string& text) : text_(text), kind_(Kind::Text) {}
  Value(const char* text) : text_(text), kind_(Kind::Text) {}

  /// Appends the value as it stands in a text line, respectively in a JSON object.
  void append_text(std::string& to) const;
  void append_json(std::string& to) const;

 private:
  enum class Kind : std::uint8_t { Number, Unsigned, Real, Truth, Text };
  std::int64_t number_ = 0;
  double real_ = 0;
  std::string_view text_;
  Kind kind_;
};

struct Field {
  std::string_view name;
  Value value;
};
using Fields = std::initializer_list<Field>;

/// Once, before other threads log. Lines go to standard error.
void configure(Level level, Format format);
/// "debug", "info", "warn", "error"; false when it is none of them.
bool read_level(std::string_view word, Level& level);

void write(Level level, std::string_view event, Fields fields);
[[nodiscard]] bool enabled(Level level);

inline void debug(std::string_view event, Fields fields = {}) {
  if (enabled(Level::Debug)) write(Level::Debug, event, fields);
}
inline void info(std::string_view event, Fields fields = {}) { write(Level::Info, event, fields); }
inline void warn(std::string_view event, Fields fields = {}) { write(Level::Warn, event, fields); }
inline void error(std::string_view event, Fields fields = {}) { write(Level::Error, event, fields); }

/// One line as `write` makes it, without the newline: for tests, and for whoever writes elsewhere.
std::string line(Level level, Format format, Timestamp now, std::string_view event, Fields fields);

}  // namespace parley::log
