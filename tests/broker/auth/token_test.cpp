#include "broker/auth/token.hpp"

#include <gtest/gtest.h>

#include "base/base64.hpp"
#include "broker/auth/digest.hpp"

namespace parley::auth {
namespace {

// RFC 7515, appendices A.1 to A.3; RFC 8037, appendix A.4.
const std::string kSecretKey =
    R"({"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"})";
const std::string kRsaModulus =
    "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-"
    "pCgNMs"
    "D1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-"
    "UTo7WTBEMa2R2CapHg665xsmtdV"
    "MTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const std::string kRsaKey = R"({"kty":"RSA","n":")" + kRsaModulus + R"(","e":"AQAB"})";
const std::string kEcKey =
    R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
    R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"})";
const std::string kEdKey = R"({"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",)"
                           R"("x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"})";
const std::string kJoe =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";

SignatureKey key_of(const std::string& jwk) {
  auto set = KeySet::read(jwk);
  EXPECT_TRUE(std::holds_alternative<KeySet>(set)) << jwk;
  return std::get<KeySet>(set).keys().at(0);
}

KeySet set_of(const std::string& json) { return std::get<KeySet>(KeySet::read(json)); }

struct Vector {
  std::string jwk;
  std::string input;
  std::string signature;
};
const Vector kVectors[] = {
    {kSecretKey, "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + kJoe, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
    {kRsaKey, "eyJhbGciOiJSUzI1NiJ9." + kJoe,
     "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_"
     "O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZ"
     "cAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--"
     "xi12jzDwusC-e"
     "OkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
    {kEcKey, "eyJhbGciOiJFUzI1NiJ9." + kJoe,
     "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
    {kEdKey, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc",
     "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
};

TEST(SignatureKey, ChecksTheSignaturesOfTheRfcs) {
  for (const Vector& one : kVectors) {
    const auto key = key_of(one.jwk);
    auto signature = *decode_base64url(one.signature);
    EXPECT_TRUE(key.verify(one.input, signature)) << one.jwk;
    EXPECT_FALSE(key.verify(one.input + "x", signature)) << one.jwk;
    EXPECT_FALSE(key.verify(one.input, "")) << one.jwk;
    EXPECT_FALSE(key.verify(one.input, signature + '\0')) << one.jwk;
    EXPECT_FALSE(key.verify(one.input, signature.substr(1))) << one.jwk;
    for (std::size_t i = 0; i < signature.size(); i += 7) {
      signature[i] = static_cast<char>(signature[i] ^ 1);
      EXPECT_FALSE(key.verify(one.input, signature)) << one.jwk;
      signature[i] = static_cast<char>(signature[i] ^ 1);
    }
    EXPECT_FALSE(key.verify(one.input, std::string(signature.size(), '\0'))) << one.jwk;
  }
}

TEST(SignatureKey, SignsWhatItChecks) {
  // Ed25519 and HMAC have one signature for each input.
  EXPECT_EQ(key_of(kSecretKey).sign(kVectors[0].input), decode_base64url(kVectors[0].signature));
  EXPECT_EQ(key_of(kEdKey).sign(kVectors[3].input), decode_base64url(kVectors[3].signature));
  EXPECT_EQ(key_of(kRsaKey).sign("x"), std::nullopt) << "a public key signs nothing";
  for (const auto algorithm :
       {SignatureAlgorithm::Hs256, SignatureAlgorithm::Rs256, SignatureAlgorithm::Es256, SignatureAlgorithm::EdDsa}) {
    const auto jwk = SignatureKey::generate(algorithm, "k1");
    ASSERT_TRUE(jwk) << name_of(algorithm);
    const auto key = key_of(*jwk);
    EXPECT_EQ(key.algorithm(), algorithm);
    EXPECT_EQ(key.id(), "k1");
    const auto signature = key.sign("input");
    ASSERT_TRUE(signature) << name_of(algorithm);
    EXPECT_TRUE(key.verify("input", *signature));
    const auto open = public_key_set(*jwk);
    ASSERT_TRUE(open);
    const auto published = set_of(*open);
    if (algorithm == SignatureAlgorithm::Hs256) {
      EXPECT_TRUE(published.keys().empty());
      continue;
    }
    EXPECT_FALSE(published.keys().at(0).is_private());
    EXPECT_TRUE(published.keys().at(0).verify("input", *signature));
  }
}

TEST(KeySet, PassesOverWhatIsNotForIt) {
  const auto set = set_of(R"({"keys":[{"kty":"RSA","use":"enc"},{"kty":"oct","alg":"HS512","k":"AA"},{"kty":"new"},)"
                          R"({"kty":"EC","crv":"P-521"},)" +
                          kEdKey + "]}");
  ASSERT_EQ(set.keys().size(), 1U);
  EXPECT_EQ(set.keys()[0].algorithm(), SignatureAlgorithm::EdDsa);
}

TEST(KeySet, RefusesWhatIsMalformedOrWeak) {
  const std::string bad[] = {
      "",
      "[]",
      "{\"keys\":1}",
      "{\"keys\":[1]}",
      R"({"kty":"oct","k":"c2VjcmV0"})",  // 6 bytes.
      R"({"kty":"oct"})",
      R"({"kty":"RSA","n":"AQAB","e":"AQAB"})",  // 17 bits.
      R"({"kty":"RSA","n":")" + kRsaModulus + R"(","e":"AQ"})",
      R"({"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
      R"("y":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"})",  // Not on the curve.
      R"({"kty":"OKP","crv":"Ed25519","x":"11qY"})",
      "[[[[[[[[[[",
  };
  for (const auto& json : bad) {
    EXPECT_TRUE(std::holds_alternative<std::string>(KeySet::read(json))) << json;
  }
}

// -- Tokens --

constexpr std::uint64_t kNow = 1'800'000'000;  // Seconds.
const std::string kPrivateSet = R"({"keys":[)" + std::string(R"({"kid":"hs",)") + kSecretKey.substr(1) +
                                R"(,{"kid":"es",)" + kEcKey.substr(1) + R"(,{"kid":"ed",)" + kEdKey.substr(1) + "]}";

std::string token(const std::string& header, const std::string& claims, const SignatureKey& key) {
  std::string text;
  append_base64url(text, header);
  text += '.';
  append_base64url(text, claims);
  const auto signature = key.sign(text);
  text += '.';
  append_base64url(text, signature.value_or(""));
  return text;
}

std::string why(const std::variant<Token, std::string_view>& checked) {
  const auto* text = std::get_if<std::string_view>(&checked);
  return text == nullptr ? std::string() : std::string(*text);
}

std::string at(std::int64_t offset) { return std::to_string(static_cast<std::int64_t>(kNow) + offset); }

TEST(Token, NamesItsUser) {
  const auto keys = set_of(kPrivateSet);
  for (const auto& key : keys.keys()) {
    const auto made = make_token(R"({"sub":"ann","exp":)" + at(60) + "}", key);
    ASSERT_TRUE(made);
    EXPECT_TRUE(looks_like_token(*made));
    const auto checked = check_token(*made, keys, {}, {kNow * 1000});
    ASSERT_TRUE(std::holds_alternative<Token>(checked)) << why(checked);
    EXPECT_EQ(std::get<Token>(checked).user, "ann");
    EXPECT_EQ(std::get<Token>(checked).expires->milliseconds, (kNow + 90) * 1000) << "clock skew counts for it";
  }
}

struct ClaimsCase {
  std::string claims;
  std::string why;  ///< Empty: it is taken.
};

TEST(Token, IsRefusedForItsClaims) {
  const auto keys = set_of(kPrivateSet);
  TokenRules rules{.issuer = "me", .audience = "parley"};
  const std::string good = R"("iss":"me","aud":"parley","sub":"ann",)";
  const ClaimsCase cases[] = {
      {"{" + good + R"("exp":)" + at(-29) + "}", ""},
      {"{" + good + R"("exp":)" + at(-30) + "}", "expired"},
      {"{" + good + R"("exp":)" + at(1) + ".5}", ""},
      {"{" + good + R"("exp":"soon"})", "no time"},
      {"{" + good + R"("exp":-1})", "no time"},
      {"{" + good + R"("exp":1e300})", "no time"},
      {"{" + good + R"("exp":null})", "no time"},
      {"{" + good + R"("nbf":)" + at(31) + R"(,"exp":)" + at(60) + "}", "yet"},
      {"{" + good + R"("nbf":)" + at(30) + R"(,"exp":)" + at(60) + "}", ""},
      {R"({"iss":"me","aud":"parley","sub":"ann"})", "never expires"},
      {R"({"iss":"you","aud":"parley","sub":"ann","exp":)" + at(60) + "}", "issuer"},
      {R"({"aud":"parley","sub":"ann","exp":)" + at(60) + "}", "issuer"},
      {R"({"iss":"me","aud":["a","parley"],"sub":"ann","exp":)" + at(60) + "}", ""},
      {R"({"iss":"me","aud":["a"],"sub":"ann","exp":)" + at(60) + "}", "audience"},
      {R"({"iss":"me","sub":"ann","exp":)" + at(60) + "}", "audience"},
      {R"({"iss":"me","aud":"parley","exp":)" + at(60) + "}", "user"},
      {R"({"iss":"me","aud":"parley","sub":7,"exp":)" + at(60) + "}", "user"},
      {R"({"iss":"me","aud":"parley","sub":"a/b","exp":)" + at(60) + "}", "user"},
      {"[]", "claims"},
      {"{", "claims"},
  };
  for (const ClaimsCase& one : cases) {
    const auto made = make_token(one.claims, keys.keys()[0]);
    const auto checked = check_token(*made, keys, rules, {kNow * 1000});
    EXPECT_EQ(std::holds_alternative<Token>(checked), one.why.empty()) << one.claims << why(checked);
    EXPECT_NE(why(checked).find(one.why), std::string::npos) << one.claims << why(checked);
  }
}

TEST(Token, IsForSomebodyElseWhenItHasAnAudienceAndWeHaveNone) {  // RFC 7519 §4.1.3
  const auto keys = set_of(kPrivateSet);
  const auto made = make_token(R"({"sub":"ann","aud":"x","exp":)" + at(60) + "}", keys.keys()[0]);
  EXPECT_NE(why(check_token(*made, keys, {}, {kNow * 1000})).find("audience"), std::string::npos);
}

TEST(Token, CanNotChooseTheAlgorithm) {  // RFC 8725 §2.1
  const auto keys =
      set_of(R"({"keys":[{"kid":"rs",)" + kRsaKey.substr(1) + R"(,{"kid":"es",)" + kEcKey.substr(1) + "]}");
  const std::string claims = R"({"sub":"ann","exp":)" + at(60) + "}";
  // HS256, signed with what is public of the RSA key, in all the forms in which people have it.
  for (const std::string& open : {kRsaKey, kRsaModulus, *decode_base64url(kRsaModulus)}) {
    std::string secret = open;
    secret.resize(std::max<std::size_t>(secret.size(), 32), '\0');
    std::string encoded;
    append_base64url(encoded, secret);
    const auto forger = key_of(R"({"kty":"oct","k":")" + encoded + "\"}");
    EXPECT_NE(why(check_token(token(R"({"alg":"HS256","kid":"rs"})", claims, forger), keys, {}, {kNow * 1000}))
                  .find("isn't its key's"),
              std::string::npos);
    EXPECT_NE(why(check_token(token(R"({"alg":"HS256"})", claims, forger), keys, {}, {kNow * 1000})).find("No key"),
              std::string::npos);
  }
  const auto mine = key_of(kEcKey);
  struct Case {
    std::string header;
    std::string why;
  };
  const Case cases[] = {
      {R"({"alg":"ES256","kid":"es"})", ""},
      {R"({"alg":"ES256"})", ""},
      {R"({"alg":"none","kid":"es"})", "none that this server takes"},
      {R"({"alg":"None"})", "none that this server takes"},
      {R"({"alg":""})", "none that this server takes"},
      {R"({"kid":"es"})", "none that this server takes"},
      {R"({"alg":"es256"})", "none that this server takes"},
      {R"({"alg":["ES256"]})", "none that this server takes"},
      {R"({"alg":"RS256","kid":"es"})", "isn't its key's"},
      {R"({"alg":"ES256","kid":"rs"})", "isn't its key's"},
      {R"({"alg":"ES256","kid":"other"})", "doesn't know"},
      {R"({"alg":"ES256","kid":7})", "kid"},
      {R"({"alg":"ES256","kid":"es","crit":["x"]})", "critical"},
  };
  for (const Case& one : cases) {
    const auto checked = check_token(token(one.header, claims, mine), keys, {}, {kNow * 1000});
    EXPECT_EQ(std::holds_alternative<Token>(checked), one.why.empty()) << one.header << why(checked);
    EXPECT_NE(why(checked).find(one.why), std::string::npos) << one.header << why(checked);
  }
  // `none` without a signature, as RFC 7519 §6.1 has it.
  std::string bare;
  append_base64url(bare, R"({"alg":"none"})");
  bare += '.';
  append_base64url(bare, claims);
  EXPECT_FALSE(why(check_token(bare + '.', keys, {}, {kNow * 1000})).empty());
}

TEST(Token, IsRefusedWhenItIsNotThreeParts) {
  const auto keys = set_of(kPrivateSet);
  const std::string good = *make_token(R"({"sub":"ann","exp":)" + at(60) + "}", keys.keys()[0]);
  for (const std::string& text :
       {std::string(), std::string("."), std::string(".."), good + ".", good + ".x", good.substr(0, good.rfind('.')),
        "a" + good, good + "=", good + "A", std::string(kTokenSizeMax + 1, 'e')}) {
    EXPECT_FALSE(why(check_token(text, keys, {}, {kNow * 1000})).empty()) << text.substr(0, 100);
  }
}

}  // namespace
}  // namespace parley::auth
