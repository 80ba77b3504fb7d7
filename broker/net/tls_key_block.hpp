#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "broker/net/tls_keys.hpp"

/// Where the keys of TLS 1.2 come from: RFC 5246 §6.3, with the pseudo-random function of §5.
namespace parley::net {

/// What a handshake of TLS 1.2 has agreed upon.
struct AgreedSecret {
  std::span<const unsigned char> master;
  std::span<const unsigned char> client_random;
  std::span<const unsigned char> server_random;
};

struct TrafficKeyPair {
  TrafficKeys client;
  TrafficKeys server;
};

/// The numbers of the next records.
struct RecordNumbers {
  std::uint64_t client = 0;
  std::uint64_t server = 0;
};

/// Nothing when the library can't, as without memory.
std::optional<TrafficKeyPair> expand_key_block(Aead aead, const AgreedSecret& secret, RecordNumbers next);

}  // namespace parley::net
