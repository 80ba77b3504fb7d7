#pragma once

#include <string_view>

/// Topics, filters, and the patterns of the access file, compared level by level. Pure; nothing is allocated.
namespace parley::auth {

/// For whom a pattern's `%u` and `%c` stand.
struct Subject {
  std::string_view user;
  std::string_view client_id;
};

/// What is asked of a pattern: about a topic name, or all topics that a filter matches.
enum class Coverage : unsigned char { None, Part, Whole };

/// A pattern is a topic filter whose text may have `%u` (user), `%c` (client id) and `%%`. How much of what `filter`
/// matches the pattern matches, too; a topic name is a filter without wildcards, so that the answer is None or Whole. A
/// pattern or filter that begins with a wildcard has nothing of what begins with `$` (MQTT 5 §4.7.2).
///
/// A client id with `/`, `+` or `#` has no place in a pattern. With `lenient` such a `%c` stands for any one level, so
/// that a rule that denies doesn't fail to; else it stands for nothing.
Coverage coverage(std::string_view pattern, std::string_view filter, const Subject& subject, bool lenient);

/// Whether it can stand in the access file: a valid filter, whose `%` are followed by u, c or another `%`.
bool is_pattern(std::string_view text);

}  // namespace parley::auth
