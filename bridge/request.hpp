#pragma once

#include <cstdint>
#include <string>

/// One HTTP request as far as the bridge looks at it.
namespace parley::bridge {

enum class Method : std::uint8_t { Get, Head, Post, Patch, Delete, Options, Other };

/// Kept and reused by its connection, so that a small request allocates nothing. Header fields that were not sent are
/// empty; of those that may stand once only, the last one counts.
struct Request {
  Method method = Method::Other;
  bool http_1_0 = false;
  bool keep_alive = false;
  bool has_host = false;
  bool expects_continue = false;  ///< Expect: 100-continue. RFC 9110 §10.1.1.
  std::string target;
  std::string authorization;
  std::string content_type;
  std::string idempotency_key;
  std::string if_none_match;
  std::string accept_encoding;
  std::string last_event_id;
  std::string body;

  void clear();
};

}  // namespace parley::bridge
