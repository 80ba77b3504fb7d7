#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

/// What is said to Redis and what it answers: values. Pure.
namespace parley::cluster {

/// Why a call has no reply. A reply that says "error" isn't one of these.
enum class RedisError {
  Unavailable = 1,  ///< There is no connection now, and the call didn't wait for one.
  TimedOut,         ///< No reply in time; the connection was dropped.
  ConnectionLost,   ///< It ended while the reply was awaited: the command may have been carried out.
  Refused,          ///< The server doesn't take the user, the password or the database.
  UnexpectedReply,  ///< Not of the kind that this command has.
  NoMaster,         ///< No sentinel knows a master that says so itself.
  SlotsUncovered,   ///< Redis Cluster has no node for the key's slot.
  TooManyRedirects,
};
boost::system::error_code make_error_code(RedisError error);

/// A command: its name and arguments, binary-safe.
using RedisCommand = std::vector<std::string>;

/// RESP2.
struct RedisReply {
  enum class Kind : std::uint8_t { Nil, Status, Text, Integer, Array, Error };

  Kind kind = Kind::Nil;
  std::int64_t integer = 0;
  std::string text;  ///< Of Status, Text and Error.
  std::vector<RedisReply> elements;

  [[nodiscard]] bool is_error() const { return kind == Kind::Error; }
  [[nodiscard]] bool is_nil() const { return kind == Kind::Nil; }
  /// "MOVED", "NOSCRIPT", "WRONGPASS", …: the first word of an error; else empty.
  [[nodiscard]] std::string_view error_word() const;
};

}  // namespace parley::cluster

template <>
struct boost::system::is_error_code_enum<parley::cluster::RedisError> : std::true_type {};
