#include "bridge/response.hpp"

#include <array>
#include <cstdio>

namespace parley::bridge {
namespace {

struct Status {
  unsigned code;
  std::string_view phrase;
};
/// RFC 9110 §15, and 431 from RFC 6585.
constexpr std::array kStatuses{Status{200, "OK"},
                               Status{201, "Created"},
                               Status{204, "No Content"},
                               Status{304, "Not Modified"},
                               Status{400, "Bad Request"},
                               Status{401, "Unauthorized"},
                               Status{403, "Forbidden"},
                               Status{404, "Not Found"},
                               Status{405, "Method Not Allowed"},
                               Status{408, "Request Timeout"},
                               Status{409, "Conflict"},
                               Status{410, "Gone"},
                               Status{413, "Content Too Large"},
                               Status{415, "Unsupported Media Type"},
                               Status{416, "Range Not Satisfiable"},
                               Status{429, "Too Many Requests"},
                               Status{431, "Request Header Fields Too Large"},
                               Status{500, "Internal Server Error"},
                               Status{501, "Not Implemented"},
                               Status{502, "Bad Gateway"},
                               Status{503, "Service Unavailable"},
                               Status{504, "Gateway Timeout"},
                               Status{507, "Insufficient Storage"}};

void append_common(std::string& to, const Response& response, const ResponseForm& form) {
  to.append(form.http_1_0 ? "HTTP/1.0 " : "HTTP/1.1 ");
  to.append(std::to_string(response.status)).append(" ").append(reason_phrase(response.status));
  to.append("\r\nDate: ").append(form.date).append("\r\nCache-Control: ").append(response.cache_control);
  if (!response.content_type.empty() && response.status != 204 && response.status != 304) {
    to.append("\r\nContent-Type: ").append(response.content_type).append("\r\nX-Content-Type-Options: nosniff");
  }
  if (!form.keep_alive) {
    to.append("\r\nConnection: close");
  } else if (form.http_1_0) {
    to.append("\r\nConnection: keep-alive");
  }
  to.append("\r\n").append(response.headers);
}

}  // namespace

void Response::clear() {
  status = 200;
  content_type = "application/json";
  cache_control = "no-store";
  headers.clear();
  body.clear();
  close = false;
}

void Response::add_header(std::string_view name, std::string_view value) {
  headers.append(name).append(": ").append(value).append("\r\n");
}

void Response::set_problem(const ProblemDetails& details) {
  clear();
  const auto& rule = rule_of(details.problem);
  status = rule.status;
  content_type = "application/problem+json";
  append_problem(body, details);
  const unsigned retry_after = details.retry_after != 0 ? details.retry_after : rule.retry_after;
  if (retry_after != 0) add_header("Retry-After", std::to_string(retry_after));
  if (rule.status == 401) add_header("WWW-Authenticate", "Basic realm=\"parley\", charset=\"UTF-8\"");
}

std::string_view reason_phrase(unsigned status) {
  for (const auto& known : kStatuses) {
    if (known.code == status) return known.phrase;
  }
  return "Unknown";
}

void append_head(std::string& to, const Response& response, const ResponseForm& form) {
  append_common(to, response, form);
  if (response.status != 204 && response.status != 304) {
    to.append("Content-Length: ").append(std::to_string(response.body.size())).append("\r\n");
  }
  to.append("\r\n");
}

void append_stream_head(std::string& to, const Response& response, const ResponseForm& form) {
  append_common(to, response, form);
  to.append(form.http_1_0 ? "\r\n" : "Transfer-Encoding: chunked\r\n\r\n");
}

std::string http_date(std::time_t now) {
  constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 64> text{};
  const auto size = std::snprintf(text.data(), text.size(), "%s, %02d %s %04d %02d:%02d:%02d GMT",
                                  kDays[static_cast<std::size_t>(parts.tm_wday)], parts.tm_mday,
                                  kMonths[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900, parts.tm_hour,
                                  parts.tm_min, parts.tm_sec);
  return {text.data(), static_cast<std::size_t>(size)};
}

}  // namespace parley::bridge
