#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/bytes.hpp"

namespace parley::format {

/// Takes fields from the front of some bytes. Reading past the end gives zeros and is remembered, so that a decoder
/// asks once, at its end.
class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes) : rest_(bytes) {}

  template <class Integer>
  Integer integer() {
    if (rest_.size() < sizeof(Integer)) {
      fail();
      return 0;
    }
    const auto value = load_big_endian<Integer>(rest_.data());
    rest_.remove_prefix(sizeof(Integer));
    return value;
  }
  std::string_view text(std::size_t size) {
    if (rest_.size() < size) {
      fail();
      return {};
    }
    const auto taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }
  std::string_view rest() { return text(rest_.size()); }

  [[nodiscard]] bool failed() const { return short_; }
  /// Everything was there and nothing is left.
  [[nodiscard]] bool complete() const { return !short_ && rest_.empty(); }

 private:
  void fail() {
    short_ = true;
    rest_ = {};
  }
  std::string_view rest_;
  bool short_ = false;
};

}  // namespace parley::format
