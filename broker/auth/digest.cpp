#include "broker/auth/digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include "base/check.hpp"

namespace parley::auth {
namespace {

const unsigned char* octets(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* octets(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

}  // namespace

std::string sha256(std::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  PARLEY_CHECK(EVP_Digest(bytes.data(), bytes.size(), octets(digest), nullptr, EVP_sha256(), nullptr) == 1,
               "OpenSSL has no SHA-256");
  return digest;
}

std::string hmac_sha256(std::string_view key, std::string_view bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  // A null key would mean "the last one".
  const char* key_data = key.empty() ? "" : key.data();
  const unsigned char* made =
      HMAC(EVP_sha256(), key_data, static_cast<int>(key.size()), octets(bytes), bytes.size(), octets(digest), nullptr);
  PARLEY_CHECK(made != nullptr, "OpenSSL has no HMAC");
  return digest;
}

std::string stretch(std::string_view password, std::string_view salt, unsigned iterations) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  const char* text = password.empty() ? "" : password.data();
  PARLEY_CHECK(PKCS5_PBKDF2_HMAC(text, static_cast<int>(password.size()), octets(salt), static_cast<int>(salt.size()),
                                 static_cast<int>(iterations), EVP_sha256(), static_cast<int>(digest.size()),
                                 octets(digest)) == 1,
               "OpenSSL has no PBKDF2");
  return digest;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace parley::auth
