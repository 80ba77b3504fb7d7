#include <gtest/gtest.h>

#include <string>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using enum ProtocolVersion;

/// SUBSCRIBE or UNSUBSCRIBE with so many filters.
std::string request(bool subscribe, ProtocolVersion version, std::size_t count) {
  Subscribe subscribing{.packet_id = 1};
  Unsubscribe unsubscribing{.packet_id = 1};
  for (std::size_t i = 0; i < count; ++i) {
    subscribing.items.push_back({"a", {}});
    unsubscribing.filters.emplace_back("a");
  }
  return subscribe ? encoded(subscribing, version) : encoded(unsubscribing, version);
}

TEST(SubscribeDecoder, CountsFiltersBeforeItKeepsThem) {
  for (const bool subscribe : {true, false}) {
    for (const ProtocolVersion version : kVersions) {
      for (const std::size_t limit : {1U, 2U, 1'000U}) {
        const DecodeLimits limits{.items_max = limit};
        EXPECT_EQ(refusal(request(subscribe, version, limit), version, limits), ReasonCode::Success);
        EXPECT_EQ(refusal(request(subscribe, version, limit + 1), version, limits), ReasonCode::QuotaExceeded);
      }
    }
  }
}

TEST(SubscribeDecoder, ReadsEveryOptionsByte) {
  for (unsigned byte = 0; byte < 256; ++byte) {
    std::string wire = bytes("82 07 00 01 00 00 01 'a' 00");
    wire.back() = static_cast<char>(byte);
    const bool malformed = (byte & 0xC0) != 0;
    const bool wrong = (byte & 3) == 3 || (byte >> 4 & 3) == 3;
    const auto expected = malformed ? ReasonCode::MalformedPacket
                          : wrong   ? ReasonCode::ProtocolError
                                    : ReasonCode::Success;
    ASSERT_EQ(refusal(wire, V5), expected) << byte;
    if (expected != ReasonCode::Success) continue;
    const auto packet = decoded(wire, V5);
    const SubscriptionOptions& options = std::get<Subscribe>(*packet).items.at(0).options;
    EXPECT_EQ(static_cast<unsigned>(options.qos), byte & 3);
    EXPECT_EQ(options.no_local, (byte & 4) != 0);
    EXPECT_EQ(options.retain_as_published, (byte & 8) != 0);
    EXPECT_EQ(options.retain_handling, byte >> 4);
  }
}

TEST(SubscribeDecoder, RefusesNoLocalOnASharedSubscription) {
  const auto of = [](bool no_local) {
    return encoded(Subscribe{.packet_id = 1, .items = {{"$share/g/a", {.no_local = no_local}}}}, V5);
  };
  EXPECT_EQ(refusal(of(false), V5), ReasonCode::Success);
  EXPECT_EQ(refusal(of(true), V5), ReasonCode::ProtocolError);  // [MQTT-3.8.3-4]
}

TEST(SubackDecoder, CountsReasonsBeforeItKeepsThem) {
  const Suback packet{.packet_id = 1, .reasons = std::vector<ReasonCode>(11, ReasonCode::Success)};
  EXPECT_EQ(refusal(encoded(packet, V5), V5, {.items_max = 11}), ReasonCode::Success);
  EXPECT_EQ(refusal(encoded(packet, V5), V5, {.items_max = 10}), ReasonCode::QuotaExceeded);
}

}  // namespace
}  // namespace parley::mqtt
