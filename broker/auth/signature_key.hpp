#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

/// Keys that sign and check tokens. RFC 7517 (JWK), RFC 7518 §3 and §6, RFC 8037. Pure; any thread.
namespace parley::auth {

enum class SignatureAlgorithm : std::uint8_t { Hs256, Rs256, Es256, EdDsa };
std::string_view name_of(SignatureAlgorithm algorithm);
std::optional<SignatureAlgorithm> read_algorithm(std::string_view name);

/// One key. It knows its only algorithm: what a token says about that chooses nothing. Copies share the key.
class SignatureKey {
 public:
  /// A public or secret key's parts, or those of a private one; see key_set.cpp, which reads them.
  struct Parts;

  [[nodiscard]] const std::string& id() const { return id_; }  ///< `kid`; empty: it has none.
  [[nodiscard]] SignatureAlgorithm algorithm() const { return algorithm_; }
  /// True when it can sign.
  [[nodiscard]] bool is_private() const { return is_private_; }

  /// Some microseconds (HS256) to a tenth of a millisecond (ES256, EdDSA).
  [[nodiscard]] bool verify(std::string_view input, std::string_view signature) const;
  /// Nothing for a key that is public, or when OpenSSL fails.
  [[nodiscard]] std::optional<std::string> sign(std::string_view input) const;

  /// A new key of that algorithm, as a JWK with its private parts, on one line. For HS256 32 random bytes, for RS256
  /// 2,048 bits, which take some tenths of a second. Nothing when OpenSSL fails.
  static std::optional<std::string> generate(SignatureAlgorithm algorithm, std::string_view id);

 private:
  friend class KeySet;
  std::string id_;
  SignatureAlgorithm algorithm_{};
  bool is_private_ = false;
  std::string secret_;         ///< HS256.
  std::shared_ptr<void> key_;  ///< EVP_PKEY of the others.
};

/// A set of keys, as a JWKS file has them.
class KeySet {
 public:
  /// `{"keys":[…]}`, or one key alone. Keys of other types, algorithms or uses are passed over, as RFC 7517 §5 wants;
  /// one of ours that is malformed, or weaker than RFC 7518 allows, makes it all wrong. The text is a sentence about
  /// that, without anything secret.
  static std::variant<KeySet, std::string> read(std::string_view json);

  [[nodiscard]] const std::vector<SignatureKey>& keys() const { return keys_; }

 private:
  std::vector<SignatureKey> keys_;
};

/// The public halves of the set's keys as a JWKS; a secret key (HS256) is left out. Nothing when `json` is no set.
std::optional<std::string> public_key_set(std::string_view json);

}  // namespace parley::auth
