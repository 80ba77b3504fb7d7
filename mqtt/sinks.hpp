#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "base/bytes.hpp"
#include "base/output.hpp"

/// Where encoders write to; for this room only. One description of a packet's body serves all three.
namespace parley::mqtt {

inline constexpr std::size_t kRemainingLengthMax = 268'435'455;  ///< MQTT 5 §1.5.5.

constexpr std::size_t variable_byte_integer_size(std::size_t value) {
  return value < 128 ? 1 : value < 16'384 ? 2 : value < 2'097'152 ? 3 : 4;
}

/// The data types of MQTT 5 §1.5 in terms of `Derived::bytes`.
template <class Derived>
class SinkBase {
 public:
  void byte(std::uint8_t value) { integer(value); }
  void two_bytes(std::uint16_t value) { integer(value); }
  void four_bytes(std::uint32_t value) { integer(value); }
  void variable_byte_integer(std::size_t value) {
    while (value >= 0x80) {
      byte(static_cast<std::uint8_t>((value & 0x7F) | 0x80));
      value >>= 7;
    }
    byte(static_cast<std::uint8_t>(value));
  }
  /// Strings and binary data. Callers hold them to 65,535 bytes; a longer one is cut, so that the packet stays whole.
  void string(std::string_view value) {
    value = value.substr(0, 65'535);
    two_bytes(static_cast<std::uint16_t>(value.size()));
    self().bytes(value);
  }

 private:
  Derived& self() { return static_cast<Derived&>(*this); }

  template <class Integer>
  void integer(Integer value) {
    std::array<char, sizeof(Integer)> encoded;
    store_big_endian(encoded.data(), value);
    self().bytes({encoded.data(), encoded.size()});
  }
};

/// Counts only.
class Counter : public SinkBase<Counter> {
 public:
  void bytes(std::string_view bytes) { size_ += bytes.size(); }
  [[nodiscard]] std::size_t size() const { return size_; }

 private:
  std::size_t size_ = 0;
};

/// Writes to memory that has room for everything.
class SpanWriter : public SinkBase<SpanWriter> {
 public:
  explicit SpanWriter(char* to) : to_(to) {}
  void bytes(std::string_view bytes) {
    if (!bytes.empty()) std::memcpy(to_, bytes.data(), bytes.size());
    to_ += bytes.size();
  }

 private:
  char* to_;
};

/// Appends piece by piece, over as many blocks as it takes.
class OutputWriter : public SinkBase<OutputWriter> {
 public:
  explicit OutputWriter(Output& to) : to_(to) {}
  void bytes(std::string_view bytes) { to_.append(bytes); }

 private:
  Output& to_;
};

}  // namespace parley::mqtt
