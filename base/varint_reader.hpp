#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/varint.hpp"

namespace parley {

/// Takes base-128 integers and texts from the front of bytes. What isn't there is zero and empty, and remembered, so
/// that a decoder asks once, at its end.
class VarintReader {
 public:
  explicit VarintReader(std::string_view bytes) : rest_(bytes) {}

  /// One above `most` fails.
  std::uint64_t number(std::uint64_t most = ~std::uint64_t{0}) {
    const auto taken = take_varint(rest_);
    if (taken && *taken <= most) return *taken;
    fail();
    return 0;
  }
  bool flag() { return number(1) == 1; }
  std::string_view bytes(std::uint64_t size) {
    if (size > rest_.size()) {
      fail();
      return {};
    }
    const auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  /// With its size before it.
  std::string_view text() { return bytes(number()); }
  /// How many there are of what takes a byte at least.
  std::uint64_t count() {
    const std::uint64_t taken = number();
    if (taken <= rest_.size()) return taken;
    fail();
    return 0;
  }
  std::string_view take_rest() { return std::exchange(rest_, {}); }

  void fail() {
    sound_ = false;
    rest_ = {};
  }
  [[nodiscard]] bool sound() const { return sound_; }
  [[nodiscard]] bool empty() const { return rest_.empty(); }
  [[nodiscard]] bool complete() const { return sound_ && rest_.empty(); }

 private:
  std::string_view rest_;
  bool sound_ = true;
};

}  // namespace parley
