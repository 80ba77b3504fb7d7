#pragma once

#include <openssl/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "broker/net/tls_records.hpp"

namespace parley::net {

/// What a handshake of OpenSSL's leaves behind, so that its object of 14 kB can go: the secrets, and how many records
/// they have protected. Belongs to whoever does the handshake, and lives as long as its SSL.
class TlsSecrets {
 public:
  /// Has every handshake of `context` tell its secrets to whatever watches it; nobody else hears of them.
  static void prepare(SSL_CTX* context);

  TlsSecrets() = default;
  TlsSecrets(const TlsSecrets&) = delete;
  TlsSecrets& operator=(const TlsSecrets&) = delete;
  ~TlsSecrets();

  /// Before the handshake begins.
  void watch(SSL* ssl);
  /// After it: what goes on in OpenSSL's place. Null when that isn't possible: a smaller record size that was asked for
  /// (RFC 6066 §4), bytes inside OpenSSL.
  std::unique_ptr<TlsRecords> take(SSL* ssl) const;

 private:
  struct Secret {
    std::array<unsigned char, TrafficKeys::kSecretMax> bytes{};
    std::size_t size = 0;
    std::uint64_t records = 0;  ///< Since it is in use.
    /// Since the ChangeCipherSpec, from which on TLS 1.2 protects them all.
    std::uint64_t records_tls12 = 0;
  };
  static void hear(const SSL* ssl, const char* line);
  static void count(int writing, int version, int type, const void* bytes, std::size_t size, SSL* ssl, void* self);
  void learn(Secret& secret, std::string_view hex);
  std::unique_ptr<TlsRecords> take_tls12(SSL* ssl) const;
  std::unique_ptr<TlsRecords> take_tls13(SSL* ssl) const;

  Secret client_;
  Secret server_;
};

}  // namespace parley::net
