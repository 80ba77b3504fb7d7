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

/// Of TLS 1.2.
inline TrafficKeys keys12_of(Aead aead, unsigned char byte, std::uint64_t record = 1) {
  const std::vector<unsigned char> key(aead == Aead::Aes128Gcm ? 16 : 32, byte);
  const std::vector<unsigned char> iv(aead == Aead::ChaCha20Poly1305 ? 12 : 4, byte);
  return *TrafficKeys::make_tls12(aead, key, iv, record);
}

inline std::string seal_as(TrafficKeys& keys, char type, std::string_view text) {
  const std::size_t length = keys.nonce_size() + text.size() + TrafficKeys::kTagSize;
  std::string record{type, 3, 3, static_cast<char>(length >> 8), static_cast<char>(length & 0xFF)};
  record.resize(5 + keys.nonce_size());
  record.append(text);
  record.resize(5 + length);
  keys.seal(record);
  return record;
}

/// A record of `inner`: content, its type, and in TLS 1.3 padding. RFC 8446 §5.2, RFC 5246 §6.2.3.
inline std::string seal_record(TrafficKeys& keys, std::string_view inner) {
  if (!keys.is_tls12()) return seal_as(keys, '\x17', inner);
  return seal_as(keys, inner.back(), inner.substr(0, inner.size() - 1));
}

/// Records one after another.
inline std::string seal_records(TrafficKeys& keys, std::initializer_list<std::string_view> inners) {
  std::string records;
  for (const auto inner : inners) records += seal_record(keys, inner);
  return records;
}

/// What is in a record, as seal_record() is given it; empty when it doesn't open.
inline std::string open_record(TrafficKeys& keys, std::string_view record) {
  std::string copy(record);
  if (copy.size() < 5 + keys.nonce_size() + TrafficKeys::kTagSize) return {};
  const auto text = keys.open(copy);
  if (!text) return {};
  std::string inner(text->data(), text->size());
  if (keys.is_tls12()) inner += copy[0];
  return inner;
}

}  // namespace parley::net
