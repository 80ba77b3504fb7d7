#include "broker/auth/signature_key.hpp"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "base/base64.hpp"
#include "broker/auth/digest.hpp"

namespace parley::auth {
namespace {

namespace json = boost::json;

/// Calls OpenSSL's free function for a type.
template <auto Free>
struct FreeWith {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};
using PkeyPtr = std::unique_ptr<EVP_PKEY, FreeWith<EVP_PKEY_free>>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, FreeWith<EVP_PKEY_CTX_free>>;
using DigestContextPtr = std::unique_ptr<EVP_MD_CTX, FreeWith<EVP_MD_CTX_free>>;
using NumberPtr = std::unique_ptr<BIGNUM, FreeWith<BN_clear_free>>;
using BuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, FreeWith<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, FreeWith<OSSL_PARAM_free>>;
using EcdsaPtr = std::unique_ptr<ECDSA_SIG, FreeWith<ECDSA_SIG_free>>;

constexpr std::size_t kSecretSizeMin = 32;  // RFC 7518 §3.2: at least as long as the hash.
constexpr int kRsaBitsMin = 2'048;          // RFC 7518 §3.3.
constexpr int kRsaBitsMax = 8'192;          // Larger ones cost more than a login may.
constexpr std::size_t kCoordinateSize = 32;
constexpr std::size_t kKeysMax = 100;

struct AlgorithmRule {
  SignatureAlgorithm algorithm;
  std::string_view name;
  std::string_view key_type;
  std::string_view curve;
};
constexpr std::array kAlgorithms{
    AlgorithmRule{SignatureAlgorithm::Hs256, "HS256", "oct", ""},
    AlgorithmRule{SignatureAlgorithm::Rs256, "RS256", "RSA", ""},
    AlgorithmRule{SignatureAlgorithm::Es256, "ES256", "EC", "P-256"},
    AlgorithmRule{SignatureAlgorithm::EdDsa, "EdDSA", "OKP", "Ed25519"},
};

const unsigned char* octets(std::string_view bytes) { return reinterpret_cast<const unsigned char*>(bytes.data()); }
unsigned char* octets(std::string& bytes) { return reinterpret_cast<unsigned char*>(bytes.data()); }

EVP_PKEY* pkey(const std::shared_ptr<void>& key) { return static_cast<EVP_PKEY*>(key.get()); }

std::string_view member(const json::object& jwk, std::string_view name) {
  const auto* value = jwk.if_contains(name);
  const auto* text = value != nullptr ? value->if_string() : nullptr;
  return text != nullptr ? std::string_view(text->data(), text->size()) : std::string_view();
}

std::optional<std::string> bytes_of(const json::object& jwk, std::string_view name) {
  const auto text = member(jwk, name);
  if (text.empty()) return std::nullopt;
  return decode_base64url(text);
}

NumberPtr number_of(const json::object& jwk, std::string_view name) {
  const auto bytes = bytes_of(jwk, name);
  if (!bytes || bytes->size() > kRsaBitsMax / 8) return nullptr;
  return NumberPtr(BN_bin2bn(octets(*bytes), static_cast<int>(bytes->size()), nullptr));
}

PkeyPtr key_from(const char* type, int selection, OSSL_PARAM_BLD* builder) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder));
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* key = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1) return nullptr;
  if (EVP_PKEY_fromdata(context.get(), &key, selection, params.get()) != 1) return nullptr;
  return PkeyPtr(key);
}

/// RFC 7518 §6.3.
PkeyPtr read_rsa(const json::object& jwk, bool with_private) {
  struct Part {
    std::string_view name;
    const char* param;
  };
  constexpr std::array<Part, 8> kParts{{{"n", OSSL_PKEY_PARAM_RSA_N},
                                        {"e", OSSL_PKEY_PARAM_RSA_E},
                                        {"d", OSSL_PKEY_PARAM_RSA_D},
                                        {"p", OSSL_PKEY_PARAM_RSA_FACTOR1},
                                        {"q", OSSL_PKEY_PARAM_RSA_FACTOR2},
                                        {"dp", OSSL_PKEY_PARAM_RSA_EXPONENT1},
                                        {"dq", OSSL_PKEY_PARAM_RSA_EXPONENT2},
                                        {"qi", OSSL_PKEY_PARAM_RSA_COEFFICIENT1}}};
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  std::vector<NumberPtr> numbers;
  for (std::size_t i = 0; i < (with_private ? kParts.size() : 2U); ++i) {
    numbers.push_back(number_of(jwk, kParts[i].name));
    if (!numbers.back() || !builder) return nullptr;
    if (OSSL_PARAM_BLD_push_BN(builder.get(), kParts[i].param, numbers.back().get()) != 1) return nullptr;
  }
  const int bits = BN_num_bits(numbers[0].get());
  const BIGNUM* exponent = numbers[1].get();
  const bool sound = bits >= kRsaBitsMin && bits <= kRsaBitsMax && BN_is_odd(numbers[0].get()) == 1 &&
                     BN_is_odd(exponent) == 1 && BN_is_one(exponent) == 0 && BN_num_bits(exponent) <= 64;
  if (!sound) return nullptr;
  return key_from("RSA", with_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, builder.get());
}

/// RFC 7518 §6.2.
PkeyPtr read_ec(const json::object& jwk, bool with_private) {
  const auto x = bytes_of(jwk, "x");
  const auto y = bytes_of(jwk, "y");
  if (!x || !y || x->size() != kCoordinateSize || y->size() != kCoordinateSize) return nullptr;
  const std::string point = "\x04" + *x + *y;
  const BuilderPtr builder(OSSL_PARAM_BLD_new());
  if (!builder) return nullptr;
  NumberPtr secret;
  if (OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME, "prime256v1", 0) != 1) return nullptr;
  if (OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY, point.data(), point.size()) != 1) {
    return nullptr;
  }
  if (with_private) {
    secret = number_of(jwk, "d");
    if (!secret || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY, secret.get()) != 1) return nullptr;
  }
  return key_from("EC", with_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY, builder.get());
}

/// RFC 8037 §2.
PkeyPtr read_okp(const json::object& jwk, bool with_private) {
  const auto bytes = bytes_of(jwk, with_private ? "d" : "x");
  if (!bytes || bytes->size() != kCoordinateSize) return nullptr;
  return PkeyPtr(with_private ? EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, octets(*bytes), bytes->size())
                              : EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, octets(*bytes), bytes->size()));
}

const EVP_MD* digest_of(SignatureAlgorithm algorithm) {
  return algorithm == SignatureAlgorithm::EdDsa ? nullptr : EVP_sha256();
}

/// r and s side by side (RFC 7518 §3.4), as OpenSSL wants them; empty when that can't be.
std::string der_of(std::string_view signature) {
  if (signature.size() != 2 * kCoordinateSize) return {};
  const EcdsaPtr parts(ECDSA_SIG_new());
  NumberPtr r(BN_bin2bn(octets(signature), kCoordinateSize, nullptr));
  NumberPtr s(BN_bin2bn(octets(signature.substr(kCoordinateSize)), kCoordinateSize, nullptr));
  if (!parts || !r || !s || ECDSA_SIG_set0(parts.get(), r.get(), s.get()) != 1) return {};
  r.release();  // NOLINT: the signature owns both now.
  s.release();  // NOLINT
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(parts.get(), &der);
  if (size <= 0) return {};
  std::string bytes(reinterpret_cast<char*>(der), static_cast<std::size_t>(size));
  OPENSSL_free(der);
  return bytes;
}

std::optional<std::string> side_by_side(std::string_view der) {
  const unsigned char* at = octets(der);
  const EcdsaPtr parts(d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der.size())));
  if (!parts) return std::nullopt;
  std::string bytes(2 * kCoordinateSize, '\0');
  const bool fits = BN_bn2binpad(ECDSA_SIG_get0_r(parts.get()), octets(bytes), kCoordinateSize) > 0 &&
                    BN_bn2binpad(ECDSA_SIG_get0_s(parts.get()), octets(bytes) + kCoordinateSize, kCoordinateSize) > 0;
  return fits ? std::optional(std::move(bytes)) : std::nullopt;
}

// -- Generating --

std::string base64url(std::string_view bytes) {
  std::string text;
  append_base64url(text, bytes);
  return text;
}

/// Puts a number of the key into the JWK, padded to `size` bytes (0: as long as it is).
bool put_number(json::object& jwk, std::string_view name, const EVP_PKEY* key, const char* param, int size) {
  BIGNUM* raw = nullptr;
  if (EVP_PKEY_get_bn_param(key, param, &raw) != 1) return false;
  const NumberPtr number(raw);
  std::string bytes(static_cast<std::size_t>(size != 0 ? size : BN_num_bytes(raw)), '\0');
  if (BN_bn2binpad(raw, octets(bytes), static_cast<int>(bytes.size())) < 0) return false;
  jwk[name] = base64url(bytes);
  return true;
}

bool put_rsa(json::object& jwk, const EVP_PKEY* key) {
  return put_number(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0) && put_number(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0) &&
         put_number(jwk, "d", key, OSSL_PKEY_PARAM_RSA_D, 0) &&
         put_number(jwk, "p", key, OSSL_PKEY_PARAM_RSA_FACTOR1, 0) &&
         put_number(jwk, "q", key, OSSL_PKEY_PARAM_RSA_FACTOR2, 0) &&
         put_number(jwk, "dp", key, OSSL_PKEY_PARAM_RSA_EXPONENT1, 0) &&
         put_number(jwk, "dq", key, OSSL_PKEY_PARAM_RSA_EXPONENT2, 0) &&
         put_number(jwk, "qi", key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, 0);
}

bool put_ec(json::object& jwk, const EVP_PKEY* key) {
  constexpr int kSize = static_cast<int>(kCoordinateSize);
  return put_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, kSize) &&
         put_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, kSize) &&
         put_number(jwk, "d", key, OSSL_PKEY_PARAM_PRIV_KEY, kSize);
}

bool put_okp(json::object& jwk, const EVP_PKEY* key) {
  std::string open(kCoordinateSize, '\0');
  std::string secret(kCoordinateSize, '\0');
  std::size_t size = kCoordinateSize;
  if (EVP_PKEY_get_raw_public_key(key, octets(open), &size) != 1) return false;
  if (EVP_PKEY_get_raw_private_key(key, octets(secret), &size) != 1) return false;
  jwk["x"] = base64url(open);
  jwk["d"] = base64url(secret);
  return true;
}

const AlgorithmRule& rule_of(SignatureAlgorithm algorithm) {
  return *std::ranges::find(kAlgorithms, algorithm, &AlgorithmRule::algorithm);
}

/// The rule for a JWK that is meant for checking signatures in a way known here; null for any other.
const AlgorithmRule* rule_for(const json::object& jwk) {
  const auto use = member(jwk, "use");
  if (!use.empty() && use != "sig") return nullptr;
  const auto type = member(jwk, "kty");
  const auto found = std::ranges::find(kAlgorithms, type, &AlgorithmRule::key_type);
  if (found == kAlgorithms.end() || (!found->curve.empty() && member(jwk, "crv") != found->curve)) return nullptr;
  const auto algorithm = member(jwk, "alg");
  return algorithm.empty() || algorithm == found->name ? &*found : nullptr;
}

std::optional<json::array> jwks_of(std::string_view text) {
  boost::system::error_code error;
  json::parse_options options;
  options.max_depth = 4;
  const auto value = json::parse(json::string_view(text.data(), text.size()), error, {}, options);
  if (error || !value.is_object()) return std::nullopt;
  const auto* keys = value.as_object().if_contains("keys");
  if (keys == nullptr) return json::array{value};
  if (!keys->is_array()) return std::nullopt;
  for (const auto& one : keys->as_array()) {
    if (!one.is_object()) return std::nullopt;
  }
  return keys->as_array();
}

}  // namespace

std::string_view name_of(SignatureAlgorithm algorithm) { return rule_of(algorithm).name; }

std::optional<SignatureAlgorithm> read_algorithm(std::string_view name) {
  const auto found = std::ranges::find(kAlgorithms, name, &AlgorithmRule::name);
  return found == kAlgorithms.end() ? std::nullopt : std::optional(found->algorithm);
}

bool SignatureKey::verify(std::string_view input, std::string_view signature) const {
  if (algorithm_ == SignatureAlgorithm::Hs256) {
    return equal_in_constant_time(hmac_sha256(secret_, input), signature);
  }
  const bool elliptic = algorithm_ == SignatureAlgorithm::Es256;
  const std::string bytes = elliptic ? der_of(signature) : std::string(signature);
  const DigestContextPtr context(EVP_MD_CTX_new());
  const bool sound = context && !bytes.empty() &&
                     EVP_DigestVerifyInit(context.get(), nullptr, digest_of(algorithm_), nullptr, pkey(key_)) == 1 &&
                     EVP_DigestVerify(context.get(), octets(bytes), bytes.size(), octets(input), input.size()) == 1;
  if (!sound) ERR_clear_error();
  return sound;
}

std::optional<std::string> SignatureKey::sign(std::string_view input) const {
  if (!is_private_) return std::nullopt;
  if (algorithm_ == SignatureAlgorithm::Hs256) return hmac_sha256(secret_, input);
  const DigestContextPtr context(EVP_MD_CTX_new());
  std::size_t size = 0;
  const bool begun = context &&
                     EVP_DigestSignInit(context.get(), nullptr, digest_of(algorithm_), nullptr, pkey(key_)) == 1 &&
                     EVP_DigestSign(context.get(), nullptr, &size, octets(input), input.size()) == 1;
  std::string signature(size, '\0');
  if (!begun || EVP_DigestSign(context.get(), octets(signature), &size, octets(input), input.size()) != 1) {
    ERR_clear_error();
    return std::nullopt;
  }
  signature.resize(size);
  return algorithm_ == SignatureAlgorithm::Es256 ? side_by_side(signature) : std::optional(std::move(signature));
}

std::optional<std::string> SignatureKey::generate(SignatureAlgorithm algorithm, std::string_view id) {
  const AlgorithmRule& rule = rule_of(algorithm);
  json::object jwk{{"kty", rule.key_type}, {"alg", rule.name}, {"use", "sig"}};
  if (!id.empty()) jwk["kid"] = id;
  if (!rule.curve.empty()) jwk["crv"] = rule.curve;
  bool made = false;
  switch (algorithm) {
    case SignatureAlgorithm::Hs256: {
      std::string secret(kSecretSizeMin, '\0');
      made = RAND_bytes(octets(secret), static_cast<int>(secret.size())) == 1;
      jwk["k"] = base64url(secret);
      break;
    }
    case SignatureAlgorithm::Rs256: {
      const PkeyPtr key(EVP_RSA_gen(kRsaBitsMin));
      made = key && put_rsa(jwk, key.get());
      break;
    }
    case SignatureAlgorithm::Es256: {
      const PkeyPtr key(EVP_EC_gen("P-256"));
      made = key && put_ec(jwk, key.get());
      break;
    }
    case SignatureAlgorithm::EdDsa: {
      const PkeyPtr key(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
      made = key && put_okp(jwk, key.get());
      break;
    }
  }
  if (!made) return std::nullopt;
  return json::serialize(jwk);
}

std::variant<KeySet, std::string> KeySet::read(std::string_view text) {
  const auto jwks = jwks_of(text);
  if (!jwks) return "It is no JSON object with an array \"keys\".";
  if (jwks->size() > kKeysMax) return "It has more than 100 keys.";
  KeySet set;
  for (std::size_t i = 0; i < jwks->size(); ++i) {
    const json::object& jwk = (*jwks)[i].as_object();
    const AlgorithmRule* rule = rule_for(jwk);
    if (rule == nullptr) continue;
    SignatureKey key;
    key.id_ = member(jwk, "kid");
    key.algorithm_ = rule->algorithm;
    if (rule->algorithm == SignatureAlgorithm::Hs256) {
      key.secret_ = bytes_of(jwk, "k").value_or(std::string());
      key.is_private_ = true;
      if (key.secret_.size() < kSecretSizeMin) {
        return "Key " + std::to_string(i + 1) + " has a secret of less than 32 bytes.";
      }
    } else {
      key.is_private_ = jwk.contains("d");
      auto* const read = rule->algorithm == SignatureAlgorithm::Rs256   ? read_rsa
                         : rule->algorithm == SignatureAlgorithm::Es256 ? read_ec
                                                                        : read_okp;
      PkeyPtr made = read(jwk, key.is_private_);
      ERR_clear_error();
      if (!made) {
        return "Key " + std::to_string(i + 1) + " is no sound " + std::string(rule->name) +
               " key; RSA keys have 2048 to 8192 bits.";
      }
      key.key_ = std::shared_ptr<void>(made.release(), [](void* one) { EVP_PKEY_free(static_cast<EVP_PKEY*>(one)); });
    }
    set.keys_.push_back(std::move(key));
  }
  return set;
}

std::optional<std::string> public_key_set(std::string_view text) {
  const auto jwks = jwks_of(text);
  if (!jwks) return std::nullopt;
  json::array keys;
  for (const auto& one : *jwks) {
    json::object jwk = one.as_object();
    if (member(jwk, "kty") == "oct") continue;
    for (const std::string_view secret : {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}) jwk.erase(secret);
    keys.emplace_back(std::move(jwk));
  }
  return json::serialize(json::object{{"keys", std::move(keys)}});
}

}  // namespace parley::auth
