#include "clients/bench/page.hpp"

#include <algorithm>
#include <charconv>

#include "clients/bench/failure.hpp"

namespace parley::bench {
namespace {

bool equals_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return 'A' <= c && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

/// A field's value without the blanks around it; nothing when the field isn't there. RFC 9112 §5.
std::optional<std::string_view> field_of(std::string_view head, std::string_view name) {
  while (!head.empty()) {
    const auto end = std::min(head.find("\r\n"), head.size());
    const std::string_view line = head.substr(0, end);
    const auto colon = line.find(':');
    if (colon != std::string_view::npos && equals_ignoring_case(line.substr(0, colon), name)) {
      std::string_view value = line.substr(colon + 1);
      value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
      return value.substr(0, value.find_last_not_of(" \t") + 1);
    }
    head.remove_prefix(std::min(end + 2, head.size()));
  }
  return std::nullopt;
}

template <class Integer>
std::optional<Integer> read_number(std::string_view digits) {
  Integer value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

/// Percent-encodes all but the unreserved characters. RFC 3986 §2.3.
std::string encoded(std::string_view text) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter_or_digit = ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z') || ('0' <= c && c <= '9');
    if (letter_or_digit || std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += {'%', kDigits[byte >> 4], kDigits[byte & 0xF]};
    }
  }
  return out;
}

}  // namespace

std::optional<ResponseHead> read_head(std::string_view bytes) {
  constexpr std::size_t kHeadSizeMax = 64UL * 1024;
  constexpr std::string_view kVersion = "HTTP/1.1 ";
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    if (bytes.size() > kHeadSizeMax) throw Failure("the bridge sent a response without an end of its head");
    return std::nullopt;
  }
  const std::string_view head = bytes.substr(0, end);
  if (!head.starts_with(kVersion)) throw Failure("the bridge sent something that is no HTTP/1.1 response");
  const auto status = read_number<unsigned>(head.substr(kVersion.size(), 3));
  const auto length = field_of(head, "Content-Length");
  const auto body_size = length ? read_number<std::size_t>(*length) : std::nullopt;
  if (!status || !body_size) throw Failure("the bridge sent a response without a readable status or Content-Length");
  return ResponseHead{.status = *status, .size = end + 4, .body_size = *body_size};
}

Page read_page(std::string_view body) {
  constexpr std::string_view kMember = "\"seq\":";
  Page page;
  for (auto at = body.find(kMember); at != std::string_view::npos; at = body.find(kMember, at)) {
    at += kMember.size();
    std::uint64_t seq = 0;
    std::from_chars(body.data() + at, body.data() + body.size(), seq);
    if (page.entries++ == 0) {
      page.first = seq;
    } else if (seq != page.last + 1) {
      page.dense = false;
    }
    page.last = seq;
  }
  return page;
}

std::string to_http(const PageRequest& request) {
  std::string text =
      "GET /v1/conversations/" + encoded(request.conversation) + "/messages?limit=" + std::to_string(request.limit);
  if (request.before != 0) text += "&before=seq:" + std::to_string(request.before);
  text += " HTTP/1.1\r\nHost: " + request.host + "\r\n";
  if (!request.authorization.empty()) text += "Authorization: " + request.authorization + "\r\n";
  return text + "\r\n";
}

}  // namespace parley::bench
