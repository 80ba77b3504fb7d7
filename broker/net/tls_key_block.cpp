#include "broker/net/tls_key_block.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <array>
#include <memory>
#include <string_view>

namespace parley::net {
namespace {

constexpr std::string_view kLabel = "key expansion";

struct Lengths {
  std::size_t key;
  std::size_t iv;
  const char* hash;
};

/// RFC 5289 §3.2, RFC 7905 §2.
Lengths lengths_of(Aead aead) {
  switch (aead) {
    case Aead::Aes128Gcm: return {16, 4, "SHA256"};
    case Aead::Aes256Gcm: return {32, 4, "SHA384"};
    case Aead::ChaCha20Poly1305: break;
  }
  return {32, 12, "SHA256"};
}

struct Free {
  void operator()(EVP_KDF* kdf) const { ::EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { ::EVP_KDF_CTX_free(context); }
};

OSSL_PARAM bytes_param(const char* name, std::span<const unsigned char> bytes) {
  return ::OSSL_PARAM_construct_octet_string(name, const_cast<unsigned char*>(bytes.data()), bytes.size());
}

/// The seeds of one derivation come one after another: the library puts them together.
bool expand(const AgreedSecret& secret, const char* hash, std::span<unsigned char> to) {
  const std::unique_ptr<EVP_KDF, Free> kdf(::EVP_KDF_fetch(nullptr, "TLS1-PRF", nullptr));
  if (!kdf) return false;
  const std::unique_ptr<EVP_KDF_CTX, Free> context(::EVP_KDF_CTX_new(kdf.get()));
  const std::span label(reinterpret_cast<const unsigned char*>(kLabel.data()), kLabel.size());
  const std::array params{
      ::OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, const_cast<char*>(hash), 0),
      bytes_param(OSSL_KDF_PARAM_SECRET, secret.master),
      bytes_param(OSSL_KDF_PARAM_SEED, label),
      bytes_param(OSSL_KDF_PARAM_SEED, secret.server_random),
      bytes_param(OSSL_KDF_PARAM_SEED, secret.client_random),
      ::OSSL_PARAM_construct_end(),
  };
  return context && ::EVP_KDF_derive(context.get(), to.data(), to.size(), params.data()) == 1;
}

}  // namespace

std::optional<TrafficKeyPair> expand_key_block(Aead aead, const AgreedSecret& secret, RecordNumbers next) {
  const auto lengths = lengths_of(aead);
  std::array<unsigned char, 2 * (TrafficKeys::kKeyMax + 12)> bytes{};
  const auto block = std::span(bytes).first(2 * (lengths.key + lengths.iv));
  if (!expand(secret, lengths.hash, block)) return std::nullopt;
  const auto ivs = block.subspan(2 * lengths.key);
  const auto client = TrafficKeys::make_tls12(aead, block.first(lengths.key), ivs.first(lengths.iv), next.client);
  const auto server =
      TrafficKeys::make_tls12(aead, block.subspan(lengths.key, lengths.key), ivs.last(lengths.iv), next.server);
  ::OPENSSL_cleanse(bytes.data(), bytes.size());
  if (!client || !server) return std::nullopt;
  return TrafficKeyPair{.client = *client, .server = *server};
}

}  // namespace parley::net
