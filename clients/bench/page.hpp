#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What the history scenario reads of an HTTP response, without a general parser. Pure.
namespace parley::bench {

struct ResponseHead {
  unsigned status = 0;
  std::size_t size = 0;  ///< Of the head, with the empty line.
  std::size_t body_size = 0;
};

/// Nothing while the head isn't complete. Throws Failure when it is no HTTP/1.1 response with a Content-Length.
/// RFC 9112 §2, §6.
std::optional<ResponseHead> read_head(std::string_view bytes);

/// The entries of one page of messages, as `"seq":N` members tell them.
struct Page {
  std::size_t entries = 0;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  bool dense = true;  ///< Ascending without a gap.
};
Page read_page(std::string_view body);

/// The request for a page; `before` 0 asks for the newest one.
struct PageRequest {
  std::string host;
  std::string conversation;
  std::size_t limit = 50;
  std::uint64_t before = 0;
  std::string authorization;
};
std::string to_http(const PageRequest& request);

}  // namespace parley::bench
