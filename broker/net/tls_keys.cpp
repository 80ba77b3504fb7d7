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

struct AeadRule {
  Aead aead;
  const char* cipher;
  std::size_t key_size;
  std::size_t iv_size_12;     ///< That TLS 1.2 takes from its key block,
  std::size_t nonce_size_12;  ///< and what its records carry of the nonce besides.
  std::uint16_t suite;        ///< Of TLS 1.3, RFC 8446 §B.4.
  const EVP_MD* (*hash)();    ///< That goes with it in TLS 1.3.
  std::size_t hash_size;
};

/// RFC 5288 §3, RFC 7905 §2.
constexpr std::array kAeads{
    AeadRule{Aead::Aes128Gcm, "AES-128-GCM", 16, 4, 8, 0x1301, ::EVP_sha256, 32},
    AeadRule{Aead::Aes256Gcm, "AES-256-GCM", 32, 4, 8, 0x1302, ::EVP_sha384, 48},
    AeadRule{Aead::ChaCha20Poly1305, "ChaCha20-Poly1305", 32, 12, 0, 0x1303, ::EVP_sha256, 32},
};

constexpr std::size_t place_of(Aead aead) { return static_cast<std::size_t>(aead); }
static_assert(std::ranges::is_sorted(kAeads, {}, &AeadRule::aead));

const AeadRule& rule_of(Aead aead) { return kAeads[place_of(aead)]; }

/// HKDF-Expand-Label with an empty context, §7.1, for no more than one block of the hash: RFC 5869 §2.3.
void expand_label(const AeadRule& rule, std::span<const unsigned char> secret, std::string_view label,
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

/// A thread's cipher for one direction.
class Cipher {
 public:
  /// Null without memory. The key's schedule is made only when the last record was another connection's.
  EVP_CIPHER_CTX* ready(const AeadRule& rule, Direction direction, std::uint64_t serial, const unsigned char* key,
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

Cipher& cipher_of(Aead aead, Direction direction) {
  thread_local std::array<std::array<Cipher, 2>, kAeads.size()> ciphers;
  return ciphers[place_of(aead)][static_cast<std::size_t>(direction)];
}

unsigned char* bytes_of(std::span<char> text) { return reinterpret_cast<unsigned char*>(text.data()); }

void write_number(std::uint64_t number, std::span<unsigned char> to) {
  for (auto byte = to.rbegin(); byte != to.rend(); ++byte, number >>= 8) *byte = static_cast<unsigned char>(number);
}

/// What a record's tag covers beside its text: in TLS 1.3 the header, §5.2, in TLS 1.2 its number, and the header with
/// the text's length, RFC 5246 §6.2.3.3.
class Covered {
 public:
  Covered(std::span<const char> header, std::uint64_t record, std::size_t text_size, bool is_tls12) {
    if (is_tls12) {
      write_number(record, std::span(bytes_).first<8>());
      size_ = 8;
    }
    for (const char c : header) bytes_[size_++] = static_cast<unsigned char>(c);
    if (is_tls12) write_number(text_size, std::span(bytes_).subspan(size_ - 2, 2));
  }
  [[nodiscard]] std::span<const unsigned char> bytes() const { return std::span(bytes_).first(size_); }

 private:
  std::array<unsigned char, 8 + TrafficKeys::kHeaderSize> bytes_{};
  std::size_t size_ = 0;
};

bool pass(EVP_CIPHER_CTX* context, const Covered& covered, std::span<char> text) {
  int size = 0;
  const auto also = covered.bytes();
  if (::EVP_CipherUpdate(context, nullptr, &size, also.data(), static_cast<int>(also.size())) != 1) return false;
  const int length = static_cast<int>(text.size());
  return ::EVP_CipherUpdate(context, bytes_of(text), &size, bytes_of(text), length) == 1 && size == length;
}

/// A record's parts behind its header.
struct Parts {
  std::span<char> nonce;
  std::span<char> text;
  std::span<char> tag;
};

Parts parts_of(std::span<char> record, std::size_t nonce_size) {
  const std::size_t start = TrafficKeys::kHeaderSize + nonce_size;
  PARLEY_CHECK(record.size() >= start + TrafficKeys::kTagSize, "a TLS record is too short to have a tag");
  return {.nonce = record.subspan(TrafficKeys::kHeaderSize, nonce_size),
          .text = record.subspan(start, record.size() - start - TrafficKeys::kTagSize),
          .tag = record.last(TrafficKeys::kTagSize)};
}

}  // namespace

std::optional<TrafficKeys> TrafficKeys::make(std::uint16_t suite, std::span<const unsigned char> secret,
                                             std::uint64_t record) {
  for (const AeadRule& rule : kAeads) {
    if (rule.suite != suite || rule.hash_size != secret.size()) continue;
    TrafficKeys keys(rule.aead, false, record);
    std::ranges::copy(secret, keys.secret_.begin());
    keys.derive();
    return keys;
  }
  return std::nullopt;
}

std::optional<TrafficKeys> TrafficKeys::make_tls12(Aead aead, std::span<const unsigned char> key,
                                                   std::span<const unsigned char> iv, std::uint64_t record) {
  const AeadRule& rule = rule_of(aead);
  if (key.size() != rule.key_size || iv.size() != rule.iv_size_12) return std::nullopt;
  TrafficKeys keys(aead, true, record);
  std::ranges::copy(key, keys.key_.begin());
  std::ranges::copy(iv, keys.iv_.begin());
  keys.renew_serial();
  return keys;
}

TrafficKeys::~TrafficKeys() {
  ::OPENSSL_cleanse(secret_.data(), secret_.size());
  ::OPENSSL_cleanse(key_.data(), key_.size());
}

std::size_t TrafficKeys::nonce_size() const { return is_tls12_ ? rule_of(aead_).nonce_size_12 : 0; }

void TrafficKeys::renew_serial() {
  static std::atomic<std::uint64_t> serials = 0;
  serial_ = serials.fetch_add(1, std::memory_order_relaxed) + 1;
}

/// §7.3.
void TrafficKeys::derive() {
  const AeadRule& rule = rule_of(aead_);
  const auto secret = std::span(secret_).first(rule.hash_size);
  expand_label(rule, secret, "key", std::span(key_).first(rule.key_size));
  expand_label(rule, secret, "iv", iv_);
  renew_serial();
}

void TrafficKeys::update() {
  PARLEY_CHECK(!is_tls12_, "TLS 1.2 has no further keys");
  const AeadRule& rule = rule_of(aead_);
  const auto secret = std::span(secret_).first(rule.hash_size);
  std::array<unsigned char, kSecretMax> next{};
  expand_label(rule, secret, "traffic upd", std::span(next).first(rule.hash_size));
  secret_ = next;
  ::OPENSSL_cleanse(next.data(), next.size());
  record_ = 0;
  derive();
}

/// RFC 8446 §5.3, RFC 7905 §2: the record's number is mixed in. RFC 5288 §3: the record carries what isn't secret.
std::array<unsigned char, 12> TrafficKeys::next_nonce(std::span<const char> explicit_part) {
  auto nonce = iv_;
  const std::uint64_t record = record_++;
  if (explicit_part.empty()) {
    for (std::size_t i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<unsigned char>(record >> 8 * i);
  } else {
    std::ranges::copy(explicit_part, nonce.end() - static_cast<std::ptrdiff_t>(explicit_part.size()));
  }
  return nonce;
}

bool TrafficKeys::seal(std::span<char> record) {
  const auto parts = parts_of(record, nonce_size());
  // OpenSSL began its own count in the handshake's record at a random place: that this one meets it is a matter of
  // 2^-64.
  write_number(record_, {bytes_of(parts.nonce), parts.nonce.size()});
  const Covered covered(record.first(kHeaderSize), record_, parts.text.size(), is_tls12_);
  const auto nonce = next_nonce(parts.nonce);
  auto* context = cipher_of(aead_, Seal).ready(rule_of(aead_), Seal, serial_, key_.data(), nonce.data());
  int size = 0;
  return context != nullptr && pass(context, covered, parts.text) &&
         ::EVP_CipherFinal_ex(context, bytes_of(parts.tag), &size) == 1 &&
         ::EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagSize, parts.tag.data()) == 1;
}

std::optional<std::span<char>> TrafficKeys::open(std::span<char> record) {
  const auto parts = parts_of(record, nonce_size());
  const Covered covered(record.first(kHeaderSize), record_, parts.text.size(), is_tls12_);
  const auto nonce = next_nonce(parts.nonce);
  auto* context = cipher_of(aead_, Open).ready(rule_of(aead_), Open, serial_, key_.data(), nonce.data());
  int size = 0;
  std::array<unsigned char, kTagSize> nothing{};
  const bool is_whole = context != nullptr &&
                        ::EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagSize, parts.tag.data()) == 1 &&
                        pass(context, covered, parts.text) && ::EVP_CipherFinal_ex(context, nothing.data(), &size) == 1;
  if (!is_whole) return std::nullopt;
  return parts.text;
}

}  // namespace parley::net
