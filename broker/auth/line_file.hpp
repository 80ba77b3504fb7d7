#pragma once

#include <cstddef>
#include <string_view>

/// Files that people write line by line.
namespace parley::auth {

/// Where such a file is wrong, and why; never with what stands there, which may be a secret.
struct LineError {
  std::size_t line = 0;  ///< From 1.
  std::string_view why;  ///< A whole sentence.
  friend bool operator==(const LineError&, const LineError&) = default;
};

/// Calls `read` with each line that is neither empty nor begins with `#`, without its end (LF or CR LF), until it
/// returns an objection. Line 0: there was none.
template <class Read>
LineError read_lines(std::string_view text, Read read) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n') < text.size() ? text.find('\n') : text.size();
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end < text.size() ? end + 1 : end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    if (const std::string_view why = read(line); !why.empty()) return {.line = number, .why = why};
  }
  return {};
}

}  // namespace parley::auth
