#include "broker/net/tls_key_block.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <gtest/gtest.h>

#include <string>

#include "tests/broker/net/tls_rig.hpp"

namespace parley::net {
namespace {

std::span<const unsigned char> bytes_of(const std::string& text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

std::string hmac(const EVP_MD* hash, const std::string& key, const std::string& text) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  const auto data = bytes_of(text);
  ::HMAC(hash, key.data(), static_cast<int>(key.size()), data.data(), data.size(), digest.data(), &size);
  return {reinterpret_cast<const char*>(digest.data()), size};
}

/// P_hash as RFC 5246 §5 writes it.
std::string p_hash(const EVP_MD* hash, const std::string& secret, const std::string& seed, std::size_t size) {
  std::string a = seed;
  std::string out;
  while (out.size() < size) {
    a = hmac(hash, secret, a);
    out += hmac(hash, secret, a + seed);
  }
  return out.substr(0, size);
}

struct Case {
  Aead aead;
  const EVP_MD* (*hash)();
  std::size_t key;
  std::size_t iv;
};

constexpr Case kCases[] = {{Aead::Aes128Gcm, ::EVP_sha256, 16, 4},
                           {Aead::Aes256Gcm, ::EVP_sha384, 32, 4},
                           {Aead::ChaCha20Poly1305, ::EVP_sha256, 32, 12}};

TEST(KeyBlock, IsCutAsTheSpecificationSays) {
  const std::string master(48, 'm');
  const std::string client_random(32, 'c');
  const std::string server_random(32, 's');
  for (const Case& suite : kCases) {
    const std::string block =
        p_hash(suite.hash(), master, "key expansion" + server_random + client_random, 2 * (suite.key + suite.iv));
    auto pair = expand_key_block(suite.aead,
                                 {.master = bytes_of(master),
                                  .client_random = bytes_of(client_random),
                                  .server_random = bytes_of(server_random)},
                                 {.client = 3, .server = 5});
    ASSERT_TRUE(pair);
    const auto part = [&](std::size_t at, std::size_t size) { return bytes_of(block).subspan(at, size); };
    auto client = *TrafficKeys::make_tls12(suite.aead, part(0, suite.key), part(2 * suite.key, suite.iv), 3);
    auto server =
        *TrafficKeys::make_tls12(suite.aead, part(suite.key, suite.key), part(2 * suite.key + suite.iv, suite.iv), 5);
    EXPECT_EQ(open_record(pair->client, seal_record(client, "from the client\x17")), "from the client\x17");
    EXPECT_EQ(open_record(pair->server, seal_record(server, "from us\x17")), "from us\x17");
  }
}

TEST(KeyBlock, GivesNoKeysOfAnotherLength) {
  const std::string bytes(32, 'x');
  const auto key = [&](std::size_t size) { return bytes_of(bytes).first(size); };
  EXPECT_FALSE(TrafficKeys::make_tls12(Aead::Aes128Gcm, key(32), key(4), 0));
  EXPECT_FALSE(TrafficKeys::make_tls12(Aead::Aes256Gcm, key(32), key(12), 0));
  EXPECT_FALSE(TrafficKeys::make_tls12(Aead::ChaCha20Poly1305, key(32), key(4), 0));
}

}  // namespace
}  // namespace parley::net
