#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/time.hpp"

namespace parley::cluster {

/// Keeps a line that would repeat from filling the log: the same text at most once a minute, others at most once a
/// second. Pure.
class LineLimiter {
 public:
  /// How many lines were kept back since the last one, when this one is to be written.
  std::optional<std::uint64_t> admit(std::string_view text, Instant now) {
    const Duration gap = text == last_ ? std::chrono::minutes(1) : Duration(std::chrono::seconds(1));
    if (written_ != Instant{} && now - written_ < gap) {
      ++kept_back_;
      return std::nullopt;
    }
    last_ = text;
    written_ = now;
    return std::exchange(kept_back_, 0);
  }

 private:
  std::string last_;
  Instant written_;
  std::uint64_t kept_back_ = 0;
};

}  // namespace parley::cluster
