#include "broker/auth/topic_pattern.hpp"

#include <algorithm>

namespace parley::auth {
namespace {

/// Cuts the first level off; `more` says whether another one follows.
struct Levels {
  std::string_view rest;
  bool more = true;

  std::string_view next() {
    const auto end = std::min(rest.find('/'), rest.size());
    const auto level = rest.substr(0, end);
    more = end < rest.size();
    rest.remove_prefix(more ? end + 1 : end);
    return level;
  }
};

bool fits_a_level(std::string_view client_id) { return client_id.find_first_of("/+#") == client_id.npos; }

/// Whether the pattern's level, without wildcards, says the same as `level`.
bool says(std::string_view pattern, std::string_view level, const Subject& subject, bool lenient) {
  while (!pattern.empty()) {
    if (pattern.front() != '%') {
      if (level.empty() || level.front() != pattern.front()) return false;
      pattern.remove_prefix(1);
      level.remove_prefix(1);
      continue;
    }
    const char what = pattern[1];
    if (what == 'c' && !fits_a_level(subject.client_id)) return lenient;
    const std::string_view text = what == 'u' ? subject.user : what == 'c' ? subject.client_id : std::string_view("%");
    if (text.empty() || !level.starts_with(text)) return false;
    pattern.remove_prefix(2);
    level.remove_prefix(text.size());
  }
  return level.empty();
}

/// Whether a filter's level beyond which nothing follows in the pattern is `#`, which also stands for the level above.
bool ends_here(Levels levels) { return levels.more && levels.rest == "#"; }

bool begins_with_wildcard(std::string_view filter) { return filter.starts_with('+') || filter.starts_with('#'); }

}  // namespace

Coverage coverage(std::string_view pattern, std::string_view filter, const Subject& subject, bool lenient) {
  if (begins_with_wildcard(pattern) && filter.starts_with('$')) return Coverage::None;
  // A client may call itself $SYS, and has no rights from that.
  if (pattern.starts_with('%') && filter.starts_with('$') && !lenient) return Coverage::None;
  if (begins_with_wildcard(filter) && pattern.starts_with('$')) return Coverage::None;
  Levels patterns{pattern};
  Levels filters{filter};
  bool whole = true;
  while (true) {
    const auto wanted = patterns.next();
    const auto level = filters.next();
    if (wanted == "#") return whole ? Coverage::Whole : Coverage::Part;
    if (level == "#") return Coverage::Part;
    if (level == "+" && wanted != "+") {
      whole = false;
    } else if (wanted != "+" && !says(wanted, level, subject, lenient)) {
      return Coverage::None;
    }
    if (!patterns.more && !filters.more) return whole ? Coverage::Whole : Coverage::Part;
    if (!filters.more) return ends_here(patterns) ? (whole ? Coverage::Whole : Coverage::Part) : Coverage::None;
    if (!patterns.more) return ends_here(filters) ? Coverage::Part : Coverage::None;
  }
}

bool is_pattern(std::string_view text) {
  if (text.empty() || text.size() > 65'535 || text.find('\0') != text.npos) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    if (i + 1 == text.size() || std::string_view("uc%").find(text[i + 1]) == std::string_view::npos) return false;
    ++i;
  }
  Levels levels{text};
  while (levels.more) {
    const auto level = levels.next();
    if (level.find_first_of("+#") == level.npos) continue;
    if (level.size() != 1 || (level == "#" && levels.more)) return false;
  }
  return true;
}

}  // namespace parley::auth
