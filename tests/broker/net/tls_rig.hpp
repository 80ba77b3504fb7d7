#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "broker/net/tls_keys.hpp"

/// The other end of TlsRecords: records as a client makes them, good or bad.
namespace parley::net {

constexpr std::uint16_t kAnySuite = 0x1301;

inline TrafficKeys keys_of(std::uint16_t suite, unsigned char secret_byte) {
  const std::vector<unsigned char> secret(suite == 0x1302 ? 48 : 32, secret_byte);
  return *TrafficKeys::make(suite, secret, 0);
}

/// A record of `inner`: content, its type, padding. RFC 8446 §5.2.
inline std::string seal_record(TrafficKeys& keys, std::string_view inner) {
  const std::size_t length = inner.size() + TrafficKeys::kTagSize;
  std::string record{'\x17', 3, 3, static_cast<char>(length >> 8), static_cast<char>(length & 0xFF)};
  record.append(inner);
  record.resize(5 + length);
  const std::span<char> all(record);
  keys.seal(all.first<5>(), all.subspan(5, inner.size()), all.last<TrafficKeys::kTagSize>());
  return record;
}

/// Records one after another.
inline std::string seal_records(TrafficKeys& keys, std::initializer_list<std::string_view> inners) {
  std::string records;
  for (const auto inner : inners) records += seal_record(keys, inner);
  return records;
}

/// What is in a record, without padding; empty when it doesn't open.
inline std::string open_record(TrafficKeys& keys, std::string_view record) {
  std::string copy(record);
  if (copy.size() < 5 + TrafficKeys::kTagSize) return {};
  const std::span<char> all(copy);
  const auto text = all.subspan(5, copy.size() - 5 - TrafficKeys::kTagSize);
  if (!keys.open(all.first<5>(), text, all.last<TrafficKeys::kTagSize>())) return {};
  return {text.data(), text.size()};
}

}  // namespace parley::net
