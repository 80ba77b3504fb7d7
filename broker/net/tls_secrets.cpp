#include "broker/net/tls_secrets.hpp"

#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include <array>
#include <optional>

#include "broker/net/tls_key_block.hpp"

namespace parley::net {
namespace {

/// OpenSSL's way to tell them is a line as NSS writes it into a file: label, client random, secret.
constexpr std::string_view kClientLabel = "CLIENT_TRAFFIC_SECRET_0 ";
constexpr std::string_view kServerLabel = "SERVER_TRAFFIC_SECRET_0 ";

std::optional<unsigned> hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return std::nullopt;
}

/// The contexts allow no other ciphers in TLS 1.2.
std::optional<Aead> aead_of(const SSL_CIPHER* cipher) {
  switch (::SSL_CIPHER_get_cipher_nid(cipher)) {
    case NID_aes_128_gcm: return Aead::Aes128Gcm;
    case NID_aes_256_gcm: return Aead::Aes256Gcm;
    case NID_chacha20_poly1305: return Aead::ChaCha20Poly1305;
    default: return std::nullopt;
  }
}

}  // namespace

TlsSecrets::~TlsSecrets() {
  ::OPENSSL_cleanse(client_.bytes.data(), client_.bytes.size());
  ::OPENSSL_cleanse(server_.bytes.data(), server_.bytes.size());
}

void TlsSecrets::prepare(SSL_CTX* context) { ::SSL_CTX_set_keylog_callback(context, hear); }

void TlsSecrets::watch(SSL* ssl) {
  SSL_set_app_data(ssl, this);
  ::SSL_set_msg_callback(ssl, count);
  SSL_set_msg_callback_arg(ssl, this);
}

void TlsSecrets::hear(const SSL* ssl, const char* line) {
  auto* self = static_cast<TlsSecrets*>(SSL_get_app_data(ssl));
  if (self == nullptr) return;
  const std::string_view text(line);
  const auto secret = text.substr(text.rfind(' ') + 1);
  if (text.starts_with(kClientLabel)) self->learn(self->client_, secret);
  if (text.starts_with(kServerLabel)) self->learn(self->server_, secret);
}

/// It is told when it comes into use, so that records count from there.
void TlsSecrets::learn(Secret& secret, std::string_view hex) {
  secret.size = 0;
  secret.records = 0;
  if (hex.size() % 2 != 0 || hex.size() / 2 > secret.bytes.size()) return;
  for (std::size_t i = 0; i < hex.size() / 2; ++i) {
    const auto high = hex_digit(hex[2 * i]);
    const auto low = hex_digit(hex[2 * i + 1]);
    if (!high || !low) return;
    secret.bytes[i] = static_cast<unsigned char>(*high << 4 | *low);
  }
  secret.size = hex.size() / 2;
}

void TlsSecrets::count(int writing, int, int type, const void* bytes, std::size_t size, SSL*, void* self) {
  if (type != SSL3_RT_HEADER || size == 0) return;
  auto& secrets = *static_cast<TlsSecrets*>(self);
  Secret& secret = writing != 0 ? secrets.server_ : secrets.client_;
  const unsigned char content = *static_cast<const unsigned char*>(bytes);
  if (content == SSL3_RT_APPLICATION_DATA) ++secret.records;
  secret.records_tls12 = content == SSL3_RT_CHANGE_CIPHER_SPEC ? 0 : secret.records_tls12 + 1;
}

std::unique_ptr<TlsRecords> TlsSecrets::take(SSL* ssl) const {
  const SSL_SESSION* session = ::SSL_get_session(ssl);
  if (::SSL_get_current_cipher(ssl) == nullptr || session == nullptr) return nullptr;
  if (::SSL_SESSION_get_max_fragment_length(session) != TLSEXT_max_fragment_length_DISABLED) return nullptr;
  if (::SSL_has_pending(ssl) != 0) return nullptr;
  switch (::SSL_version(ssl)) {
    case TLS1_2_VERSION: return take_tls12(ssl);
    case TLS1_3_VERSION: return take_tls13(ssl);
    default: return nullptr;
  }
}

std::unique_ptr<TlsRecords> TlsSecrets::take_tls12(SSL* ssl) const {
  const auto aead = aead_of(::SSL_get_current_cipher(ssl));
  if (!aead) return nullptr;
  std::array<unsigned char, SSL_MAX_MASTER_KEY_LENGTH> master{};
  std::array<unsigned char, SSL3_RANDOM_SIZE> client_random{};
  std::array<unsigned char, SSL3_RANDOM_SIZE> server_random{};
  const auto size = ::SSL_SESSION_get_master_key(::SSL_get_session(ssl), master.data(), master.size());
  ::SSL_get_client_random(ssl, client_random.data(), client_random.size());
  ::SSL_get_server_random(ssl, server_random.data(), server_random.size());
  const auto keys = expand_key_block(
      *aead, {.master = std::span(master).first(size), .client_random = client_random, .server_random = server_random},
      {.client = client_.records_tls12, .server = server_.records_tls12});
  ::OPENSSL_cleanse(master.data(), master.size());
  return keys ? std::make_unique<TlsRecords>(keys->client, keys->server) : nullptr;
}

std::unique_ptr<TlsRecords> TlsSecrets::take_tls13(SSL* ssl) const {
  const auto suite = ::SSL_CIPHER_get_protocol_id(::SSL_get_current_cipher(ssl));
  const auto client = TrafficKeys::make(suite, std::span(client_.bytes).first(client_.size), client_.records);
  const auto server = TrafficKeys::make(suite, std::span(server_.bytes).first(server_.size), server_.records);
  if (!client || !server) return nullptr;
  return std::make_unique<TlsRecords>(*client, *server);
}

}  // namespace parley::net
