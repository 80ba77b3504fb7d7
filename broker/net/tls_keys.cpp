#include "broker/net/tls_keys.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string_view>
#include <utility>

#include "base/check.hpp"

namespace parley::net {
namespace {

struct SuiteRule {
  CipherSuite suite;
  const char* cipher;
  const EVP_MD* (*hash)();
  std::size_t hash_size;
  std::size_t key_size;
};

/// RFC 8446 §B.4.
constexpr std::array kSuites{
    SuiteRule{CipherSuite::Aes128GcmSha256, "AES-128-GCM", ::EVP_sha256, 32, 16},
    SuiteRule{CipherSuite::Aes256GcmSha384, "AES-256-GCM", ::EVP_sha384, 48, 32},
    SuiteRule{CipherSuite::ChaCha20Poly1305Sha256, "ChaCha20-Poly1305", ::EVP_sha256, 32, 32},
};

std::size_t place_of(CipherSuite suite) {
  const auto* found = std::ranges::find(kSuites, suite, &SuiteRule::suite);
  PARLEY_CHECK(found != kSuites.end(), "a cipher suite of TLS 1.3 is unknown");
  return static_cast<std::size_t>(found - kSuites.begin());
}

const SuiteRule& rule_of(CipherSuite suite) { return kSuites[place_of(suite)]; }

/// HKDF-Expand-Label with an empty context, §7.1, for no more than one block of the hash: RFC 5869 §2.3.
void expand_label(const SuiteRule& rule, std::span<const unsigned char> secret, std::string_view label,
                  std::span<unsigned char> to) {
  constexpr std::string_view kPrefix = "tls13 ";
  std::array<unsigned char, 32> info{};
  std::size_t size = 0;
  info[size++] = 0;
  info[size++] = static_cast<unsigned char>(to.size());
  info[size++] = static_cast<unsigned char>(kPrefix.size() + label.size());
  for (const std::string_view part : {kPrefix, label}) {
    for (const char c : part) info[size++] = static_cast<unsigned char>(c);
  }
  info[size++] = 0;
  info[size++] = 1;
  std::array<unsigned char, EVP_MAX_MD_SIZE> block{};
  unsigned block_size = 0;
  const auto* made =
      ::HMAC(rule.hash(), secret.data(), static_cast<int>(secret.size()), info.data(), size, block.data(), &block_size);
  PARLEY_CHECK(made != nullptr && block_size >= to.size(), "there is no memory for the keys of a TLS connection");
  std::copy_n(block.begin(), to.size(), to.begin());
  ::OPENSSL_cleanse(block.data(), block.size());
}

enum Direction : int { Open = 0, Seal = 1 };

/// A thread's cipher for one suite and direction.
class Cipher {
 public:
  /// Null without memory. The key's schedule is made only when the last record was another connection's.
  EVP_CIPHER_CTX* ready(const SuiteRule& rule, Direction direction, std::uint64_t serial, const unsigned char* key,
                        const unsigned char* nonce) {
    if (!context_) {
      const std::unique_ptr<EVP_CIPHER, Free> cipher(::EVP_CIPHER_fetch(nullptr, rule.cipher, nullptr));
      context_.reset(::EVP_CIPHER_CTX_new());
      if (!cipher || ::EVP_CipherInit_ex2(context_.get(), cipher.get(), nullptr, nullptr, direction, nullptr) != 1) {
        context_.reset();
        return nullptr;
      }
    }
    const bool again = std::exchange(serial_, serial) == serial;
    const int done = ::EVP_CipherInit_ex2(context_.get(), nullptr, again ? nullptr : key, nonce, direction, nullptr);
    if (done == 1) return context_.get();
    serial_ = 0;
    return nullptr;
  }

 private:
  struct Free {
    void operator()(EVP_CIPHER* cipher) const { ::EVP_CIPHER_free(cipher); }
    void operator()(EVP_CIPHER_CTX* context) const { ::EVP_CIPHER_CTX_free(context); }
  };
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
  std::uint64_t serial_ = 0;  ///< Zero is nobody's.
};

Cipher& cipher_of(CipherSuite suite, Direction direction) {
  thread_local std::array<std::array<Cipher, 2>, kSuites.size()> ciphers;
  return ciphers[place_of(suite)][static_cast<std::size_t>(direction)];
}

/// §5.3.
std::array<unsigned char, 12> nonce_of(std::array<unsigned char, 12> iv, std::uint64_t record) {
  for (std::size_t i = 0; i < 8; ++i) iv[11 - i] ^= static_cast<unsigned char>(record >> 8 * i);
  return iv;
}

unsigned char* bytes_of(std::span<char> text) { return reinterpret_cast<unsigned char*>(text.data()); }

bool pass(EVP_CIPHER_CTX* context, TrafficKeys::Header header, std::span<char> text) {
  int size = 0;
  const auto* authenticated = reinterpret_cast<const unsigned char*>(header.data());
  if (::EVP_CipherUpdate(context, nullptr, &size, authenticated, static_cast<int>(header.size())) != 1) return false;
  const int length = static_cast<int>(text.size());
  return ::EVP_CipherUpdate(context, bytes_of(text), &size, bytes_of(text), length) == 1 && size == length;
}

}  // namespace

std::optional<TrafficKeys> TrafficKeys::make(std::uint16_t suite, std::span<const unsigned char> secret,
                                             std::uint64_t record) {
  for (const SuiteRule& rule : kSuites) {
    if (static_cast<std::uint16_t>(rule.suite) != suite || rule.hash_size != secret.size()) continue;
    return TrafficKeys(rule.suite, secret, record);
  }
  return std::nullopt;
}

TrafficKeys::TrafficKeys(CipherSuite suite, std::span<const unsigned char> secret, std::uint64_t record)
    : record_(record), suite_(suite) {
  std::ranges::copy(secret, secret_.begin());
  derive();
}

TrafficKeys::~TrafficKeys() {
  ::OPENSSL_cleanse(secret_.data(), secret_.size());
  ::OPENSSL_cleanse(key_.data(), key_.size());
}

/// §7.3.
void TrafficKeys::derive() {
  static std::atomic<std::uint64_t> serials = 0;
  const SuiteRule& rule = rule_of(suite_);
  const auto secret = std::span(secret_).first(rule.hash_size);
  expand_label(rule, secret, "key", std::span(key_).first(rule.key_size));
  expand_label(rule, secret, "iv", iv_);
  serial_ = serials.fetch_add(1, std::memory_order_relaxed) + 1;
}

void TrafficKeys::update() {
  const SuiteRule& rule = rule_of(suite_);
  const auto secret = std::span(secret_).first(rule.hash_size);
  std::array<unsigned char, kSecretMax> next{};
  expand_label(rule, secret, "traffic upd", std::span(next).first(rule.hash_size));
  secret_ = next;
  ::OPENSSL_cleanse(next.data(), next.size());
  record_ = 0;
  derive();
}

bool TrafficKeys::seal(Header header, std::span<char> text, std::span<char, kTagSize> tag) {
  const auto nonce = nonce_of(iv_, record_++);
  auto* context = cipher_of(suite_, Seal).ready(rule_of(suite_), Seal, serial_, key_.data(), nonce.data());
  int size = 0;
  return context != nullptr && pass(context, header, text) &&
         ::EVP_CipherFinal_ex(context, bytes_of(tag), &size) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, static_cast<int>(tag.size()), tag.data()) == 1;
}

bool TrafficKeys::open(Header header, std::span<char> text, std::span<char, kTagSize> tag) {
  const auto nonce = nonce_of(iv_, record_++);
  auto* context = cipher_of(suite_, Open).ready(rule_of(suite_), Open, serial_, key_.data(), nonce.data());
  int size = 0;
  std::array<unsigned char, kTagSize> nothing{};
  return context != nullptr &&
         ::EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()), tag.data()) == 1 &&
         pass(context, header, text) && ::EVP_CipherFinal_ex(context, nothing.data(), &size) == 1;
}

}  // namespace parley::net
