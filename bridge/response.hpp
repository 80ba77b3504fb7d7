#pragma once

#include <ctime>
#include <string>
#include <string_view>

#include "bridge/problem.hpp"

/// One HTTP response, and how it is written. Pure.
namespace parley::bridge {

struct Response {
  unsigned status = 200;
  std::string_view content_type = "application/json";
  std::string_view cache_control = "no-store";
  std::string headers;  ///< Further header lines, each with its CRLF.
  std::string body;
  bool close = false;  ///< Close the connection after it.

  void clear();
  /// `value` comes from this program or was checked: it has no line breaks.
  void add_header(std::string_view name, std::string_view value);
  /// Replaces whatever there is by a problem and what belongs to its status (Retry-After, WWW-Authenticate).
  void set_problem(const ProblemDetails& details);
};

/// How the request wants it.
struct ResponseForm {
  bool http_1_0 = false;
  bool keep_alive = true;
  std::string_view date;  ///< As http_date makes it.
};

/// Appends status line and header. A 304 and 204 have no Content-Length. RFC 9112 §4.
void append_head(std::string& to, const Response& response, const ResponseForm& form);
/// The same for a body that is sent in chunks (RFC 9112 §7.1), or until the connection closes toward HTTP/1.0.
void append_stream_head(std::string& to, const Response& response, const ResponseForm& form);

std::string_view reason_phrase(unsigned status);

/// IMF-fixdate, RFC 9110 §5.6.7.
std::string http_date(std::time_t now);

}  // namespace parley::bridge
