#include "broker/auth/scram.hpp"

#include <gtest/gtest.h>

#include "base/base64.hpp"
#include "broker/auth/digest.hpp"
#include "tests/broker/auth/scram_client.hpp"

namespace parley::auth {
namespace {

// RFC 7677 §3.
constexpr std::string_view kClientNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const std::string kClientFirst = "n,,n=user,r=" + std::string(kClientNonce);
const std::string kClientFinal = "c=biws,r=" + std::string(kClientNonce) + std::string(kServerNonce) +
                                 ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

ScramVerifier verifier() { return make_scram_verifier("pencil", *decode_base64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096); }

TEST(Scram, FollowsTheExampleOfTheRfc) {
  ScramExchange exchange{std::string(kServerNonce)};
  EXPECT_EQ(exchange.begin(kClientFirst), "user");
  EXPECT_EQ(exchange.challenge(verifier()),
            "r=" + std::string(kClientNonce) + std::string(kServerNonce) + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096");
  EXPECT_EQ(exchange.finish(kClientFinal), "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
}

TEST(Scram, RefusesAReplay) {
  ScramExchange exchange{"another nonce of the server"};
  ASSERT_TRUE(exchange.begin(kClientFirst));
  exchange.challenge(verifier());
  EXPECT_EQ(exchange.finish(kClientFinal), std::nullopt);
}

TEST(Scram, RefusesFirstMessagesThatItDoesNotSpeak) {
  const char* kBad[] = {"",
                        "n",
                        "n,,",
                        "n,,n=user",
                        "n,,r=abc",
                        "n,,n=,r=abc",
                        "n,,n=us=er,r=abc",
                        "n,,n=us=2c,r=abc",
                        "n,,n=user,r=",
                        "n,,n=user,r=a b",
                        "n,a=other,n=user,r=abc",        // Somebody else's rights.
                        "p=tls-exporter,,n=user,r=abc",  // Channel binding.
                        "x,,n=user,r=abc",
                        "n,,m=ext,n=user,r=abc",  // An extension that must be understood.
                        "n,,n=user,r=abc,x=1,m=ext"};
  for (const char* text : kBad) {
    ScramExchange exchange{"nonce"};
    EXPECT_EQ(exchange.begin(text), std::nullopt) << text;
  }
  ScramExchange exchange{"nonce"};
  EXPECT_EQ(exchange.begin("n,,n=" + std::string(kScramMessageMax, 'a') + ",r=abc"), std::nullopt);
}

TEST(Scram, ReadsNamesAsTheyAreWritten) {
  ScramExchange exchange{"nonce"};
  EXPECT_EQ(exchange.begin("y,,n=a=2Cb=3Dc,r=abc,ext=1"), "a,b=c");
}

TEST(Scram, RefusesLastMessagesThatAreNotTheAnswer) {
  const std::string nonce = std::string(kClientNonce) + std::string(kServerNonce);
  const std::string proof = ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
  const std::string bad[] = {
      "",
      "c=biws",
      "c=biws,r=" + nonce,
      "c=biws,r=" + nonce + ",p=",
      "c=biws,r=" + nonce + ",p=AAAA",
      "c=biws,r=" + nonce + "x" + proof,
      "c=eSws,r=" + nonce + proof,  // `y,,` was never said.
      "c=!,r=" + nonce + proof,
      "r=" + nonce + ",c=biws" + proof,
      "c=biws,r=" + nonce + ",x=1" + proof,  // The proof is of another message.
      "c=biws,r=" + nonce + ",p=eHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
  };
  for (const auto& text : bad) {
    ScramExchange exchange{std::string(kServerNonce)};
    ASSERT_TRUE(exchange.begin(kClientFirst));
    exchange.challenge(verifier());
    EXPECT_EQ(exchange.finish(text), std::nullopt) << text;
  }
}

/// RFC 5802 §5.1: `m` in any message, with a right proof.
TEST(Scram, RefusesAnExtensionThatMustBeUnderstood) {
  for (const std::string extension : {"x=1", "m=1"}) {
    ScramExchange exchange{"server-nonce"};
    ASSERT_TRUE(exchange.begin("n,,n=user,r=abc"));
    const std::string challenge = exchange.challenge(verifier());
    const std::string without_proof = "c=biws,r=abcserver-nonce," + extension;
    const std::string salted = stretch("pencil", verifier().salt, 4096);
    const std::string key = hmac_sha256(salted, "Client Key");
    std::string proof = hmac_sha256(sha256(key), "n=user,r=abc," + challenge + "," + without_proof);
    for (std::size_t i = 0; i < proof.size(); ++i) proof[i] = static_cast<char>(proof[i] ^ key[i]);
    std::string last = without_proof + ",p=";
    append_base64(last, proof);
    EXPECT_EQ(exchange.finish(last).has_value(), extension == "x=1") << extension;
  }
}

TEST(Scram, UnderstandsItsOwnClient) {
  for (const std::string_view password : {"pencil", "", "p\xC3\xA4ssw\xC3\xB6rd"}) {
    ScramClient client("us,er=", password);
    ScramExchange exchange{"server-nonce"};
    EXPECT_EQ(exchange.begin(client.first()), "us,er=");
    const auto kept = make_scram_verifier(password, "0123456789abcdef", 4096);
    const auto last = client.last(exchange.challenge(kept));
    const auto answer = exchange.finish(last);
    ASSERT_TRUE(answer);
    EXPECT_TRUE(client.believes(*answer));
  }
}

TEST(ScramVerifier, ReadsWhatItWrites) {
  const auto kept = verifier();
  const auto text = write_scram_verifier(kept);
  EXPECT_EQ(text.find_first_of(": ="), text.find('='));
  EXPECT_EQ(read_scram_verifier(text), kept);
}

TEST(ScramVerifier, RefusesWhatIsMalformedWeakOrDear) {
  const std::string key = "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY";
  const auto written = [&](std::string_view iterations, std::string_view salt, std::string_view stored) {
    return std::string("$scram-sha-256$i=").append(iterations).append("$").append(salt).append("$").append(stored) +
           "$" + key;
  };
  EXPECT_TRUE(read_scram_verifier(written("4096", "W22ZaJ0SNY7soEsUEjb6gQ", key)));
  for (const auto& text :
       {written("4095", "W22ZaJ0SNY7soEsUEjb6gQ", key), written("10000001", "W22ZaJ0SNY7soEsUEjb6gQ", key),
        written("04096", "W22ZaJ0SNY7soEsUEjb6gQ", key), written("", "W22ZaJ0SNY7soEsUEjb6gQ", key),
        written("4096", "W22Z", key), written("4096", "W22ZaJ0SNY7soEsUEjb6gQ==", key),
        written("4096", "W22ZaJ0SNY7soEsUEjb6gQ", "WG5d"), written("4096", "W22ZaJ0SNY7soEsUEjb6gQ", key) + "$",
        std::string("$scram-sha-1$i=4096"), std::string()}) {
    EXPECT_EQ(read_scram_verifier(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace parley::auth
