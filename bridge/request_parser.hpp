#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "bridge/problem.hpp"
#include "bridge/request.hpp"

namespace parley::bridge {

struct RequestLimits {
  std::uint32_t header_max = 16 * 1024;
  std::uint64_t body_max = 2 * 1024 * 1024;
};

/// Bytes of one connection to requests, one after the other. Belongs to one thread. Strict where laxness is dangerous:
/// two lengths, a length beside chunks, folded fields are refused. RFC 9112.
class RequestParser {
 public:
  enum class State : std::uint8_t { Incomplete, HeaderComplete, Complete, Failed };

  explicit RequestParser(RequestLimits limits);
  ~RequestParser();

  /// Begins a new request, to be put into `request`.
  void start(Request& request);

  /// Takes what it can use from the front of `bytes` and sets `used`. The rest must be handed in again, with more
  /// behind it, or belongs to the next request. HeaderComplete is told when the body is still missing.
  State put(std::string_view bytes, std::size_t& used);

  /// True once the first byte of a request was seen: the connection isn't idle.
  [[nodiscard]] bool started() const;
  /// Why the state is Failed.
  [[nodiscard]] Problem problem() const { return problem_; }

 private:
  class Parser;
  RequestLimits limits_;
  std::unique_ptr<Parser> parser_;
  Problem problem_ = Problem::MalformedRequest;
};

}  // namespace parley::bridge
