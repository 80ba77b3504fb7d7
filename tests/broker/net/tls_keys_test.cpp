#include "broker/net/tls_keys.hpp"

#include <gtest/gtest.h>

#include "tests/broker/net/tls_rig.hpp"

namespace parley::net {
namespace {

std::string bytes(std::string_view hex) {
  std::string out;
  std::string digits;
  for (const char c : hex) {
    if (c != ' ') digits += c;
  }
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2) {
    out += static_cast<char>(std::stoi(digits.substr(i, 2), nullptr, 16));
  }
  return out;
}

TrafficKeys keys_from(std::string_view hex, std::uint64_t record = 0) {
  const std::string secret = bytes(hex);
  const auto* data = reinterpret_cast<const unsigned char*>(secret.data());
  return *TrafficKeys::make(kAnySuite, {data, secret.size()}, record);
}

/// RFC 8448 §3, {client} and {server} "application data" and "alert".
constexpr std::string_view kClientSecret = "9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";
constexpr std::string_view kServerSecret = "a11af9f05531f856ad47116b45a950328204b4f44bfb6b3a4b4f1f3fcb631643";
constexpr std::string_view kClientData =
    "1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8a5b46b395bd54a9a20441e2b62974e1f5a6292a297"
    "7014bd1e3deae63aeebb21694915e4";
constexpr std::string_view kServerData =
    "17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf97d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c"
    "0047c2abf332540dd032e167c2955d";
constexpr std::string_view kClientAlert = "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3";
constexpr std::string_view kServerAlert = "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9";

std::string text_of_the_trace() {
  std::string text;
  for (char c = 0; c < 50; ++c) text += c;
  return text + '\x17';
}

TEST(TrafficKeys, OpenAndSealTheRecordsOfRfc8448) {
  auto client = keys_from(kClientSecret);
  EXPECT_EQ(open_record(client, bytes(kClientData)), text_of_the_trace());
  EXPECT_EQ(open_record(client, bytes(kClientAlert)), std::string("\1\0\x15", 3));
  auto server = keys_from(kServerSecret, 1);  // A ticket went before.
  EXPECT_EQ(seal_record(server, text_of_the_trace()), bytes(kServerData));
  EXPECT_EQ(seal_record(server, std::string_view("\1\0\x15", 3)), bytes(kServerAlert));
}

TEST(TrafficKeys, OpenNothingThatWasTouchedMovedOrRepeated) {
  const std::string record = bytes(kClientData);
  for (std::size_t i = 0; i < record.size(); ++i) {
    auto client = keys_from(kClientSecret);
    std::string touched = record;
    touched[i] = static_cast<char>(touched[i] ^ 1);
    EXPECT_EQ(open_record(client, touched), "") << i;
  }
  auto client = keys_from(kClientSecret);
  EXPECT_EQ(open_record(client, bytes(kClientAlert)), "");  // It was the second.
  auto again = keys_from(kClientSecret);
  EXPECT_NE(open_record(again, record), "");
  EXPECT_EQ(open_record(again, record), "");
}

TEST(TrafficKeys, ServeManyDirectionsInTurns) {
  for (const std::uint16_t suite : {std::uint16_t{0x1301}, std::uint16_t{0x1302}, std::uint16_t{0x1303}}) {
    std::vector<TrafficKeys> sealing;
    std::vector<TrafficKeys> opening;
    for (unsigned char i = 0; i < 5; ++i) {
      sealing.push_back(keys_of(suite, i));
      opening.push_back(keys_of(suite, i));
    }
    for (int round = 0; round < 20; ++round) {
      const auto at = static_cast<std::size_t>(round * 3 % 5);
      if (round % 4 == 3) {
        sealing[at].update();
        opening[at].update();
      }
      const std::string inner = std::to_string(round) + '\x17';
      EXPECT_EQ(open_record(opening[at], seal_record(sealing[at], inner)), inner) << suite << ' ' << round;
    }
  }
}

TEST(TrafficKeys, AreNoneOfSuitesThatAreUnknown) {
  const std::vector<unsigned char> secret(48, 1);
  EXPECT_FALSE(TrafficKeys::make(0x1304, std::span(secret).first(32), 0));  // TLS_AES_128_CCM_SHA256
  EXPECT_FALSE(TrafficKeys::make(0x1301, secret, 0));
  EXPECT_FALSE(TrafficKeys::make(0x1302, std::span(secret).first(32), 0));
  EXPECT_FALSE(TrafficKeys::make(0x1301, {}, 0));
}

}  // namespace
}  // namespace parley::net
