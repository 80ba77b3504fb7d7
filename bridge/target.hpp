#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/number.hpp"

/// The request target: which resource, and its query taken apart. RFC 9112 §3.2, RFC 3986. Pure; any thread.
namespace parley::bridge {

enum class Resource : std::uint8_t { None, Messages, Message, Stream, Health, Ready, Metrics, OpenApi };

struct Target {
  Resource resource = Resource::None;
  std::string_view prefix;   ///< "/v1" when the path began with it: links keep to it.
  std::string conversation;  ///< Decoded; for Messages, Message and Stream. Not checked yet.
  Seq seq;                   ///< For Message.
  std::string_view query;    ///< Behind the `?`, undecoded.
};

/// `target` in origin form (a path with an optional query), or in absolute form, whose authority is ignored. A segment
/// with a broken percent-encoding makes it Resource::None. Views point into `target`.
Target read_target(std::string_view target);

/// The conversation that `user` means by `name`: `dm:{other}` is its direct conversation with that user. A name that
/// means none stays as it is. docs/PROTOCOL.md "Conversations and members".
std::string conversation_meant(std::string name, std::string_view user);

/// `%41` becomes `A`; `+` stays, as RFC 3986 has it. Nothing when a `%` isn't followed by two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text);
/// Everything but RFC 3986's unreserved characters becomes `%41`.
void append_percent_encoded(std::string& to, std::string_view text);

/// Cuts the first `name=value` off `query` and decodes both. Empty parts between two `&` are passed over. Nothing at
/// the end; `broken` is set when it can't be decoded.
struct Parameter {
  std::string name;
  std::string value;
  bool broken = false;
};
std::optional<Parameter> next_parameter(std::string_view& query);

}  // namespace parley::bridge
