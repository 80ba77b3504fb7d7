#include <gtest/gtest.h>

#include <random>

#include "broker/session/session.hpp"
#include "tests/broker/session/rig.hpp"

namespace parley::session {
namespace {

const Limits kLimits;

Result<std::unique_ptr<Session>> decode(std::string_view state) {
  return Session::decode_state("client", "user", 1, 60, state, kLimits);
}

TEST(SessionState, HasTheseBytes) {
  Rig rig;
  EXPECT_EQ(hex(rig.session->encode_state()), hex(bytes("01 00 00 00 00 00 00")));
  rig.session->add_subscription(
      {"a/#", {.qos = Qos::ExactlyOnce, .no_local = true, .retain_as_published = true, .retain_handling = 2}, 7});
  rig.session->add_subscription({"$share/g/b", {}, 0});
  rig.connect();
  rig.publish("t", Qos::ExactlyOnce, 258);
  rig.publish("t", Qos::ExactlyOnce, 9);
  rig.publish("t", Qos::ExactlyOnce, 10);  // Its outcome isn't known: it isn't kept.
  rig.session->complete_publish(rig.tickets[0], ReasonCode::Success, {});
  rig.session->complete_publish(rig.tickets[1], ReasonCode::Success, {});
  EXPECT_EQ(
      hex(rig.session->encode_state()),
      hex(bytes("01 00 00 00 02 00 03 'a/#' 2E 00 00 00 07 00 0A '$share/g/b' 00 00 00 00 00 00 02 00 09 01 02")));
}

TEST(SessionState, IsReadBack) {
  const std::string state =
      bytes("01 00 00 00 02 00 03 'a/#' 2E 00 00 00 07 00 0A '$share/g/b' 00 00 00 00 00 00 02 00 09 01 02");
  auto session = decode(state);
  ASSERT_TRUE(session);
  EXPECT_EQ((*session)->client_id(), "client");
  EXPECT_EQ((*session)->user(), "user");
  EXPECT_EQ((*session)->identity(), 1U);
  EXPECT_EQ((*session)->expiry_interval(), 60U);
  EXPECT_FALSE((*session)->connected());
  ASSERT_EQ((*session)->subscriptions().size(), 2U);
  EXPECT_EQ((*session)->subscriptions()[0].filter, "a/#");
  EXPECT_EQ((*session)->subscriptions()[0].options,
            (mqtt::SubscriptionOptions{
                .qos = Qos::ExactlyOnce, .no_local = true, .retain_as_published = true, .retain_handling = 2}));
  EXPECT_EQ((*session)->subscriptions()[0].subscription_id, 7U);
  EXPECT_EQ((*session)->subscriptions()[1].filter, "$share/g/b");
  EXPECT_EQ((*session)->encode_state(), state);
  // The QoS 2 ids are known again.
  Rig rig;
  rig.session = std::move(*session);
  rig.connect();
  rig.publish("t", Qos::ExactlyOnce, 9, true);
  EXPECT_EQ(rig.received(), Lines{"PUBREC 9"});
  EXPECT_EQ(rig.actions(), Lines{});
}

TEST(SessionState, OfAnotherShapeIsRefused) {
  const std::string state =
      bytes("01 00 00 00 02 00 03 'a/#' 2E 00 00 00 07 00 0A '$share/g/b' 00 00 00 00 00 00 02 00 09 01 02");
  for (std::size_t size = 0; size < state.size(); ++size)
    EXPECT_FALSE(decode(std::string(state.substr(0, size)))) << size;
  EXPECT_FALSE(decode(state + '\0'));
  struct Case {
    std::string_view what;
    std::string_view bytes;
  };
  constexpr Case kCases[] = {
      {"version 0", "00 00 00 00 00 00 00"},
      {"a later version", "02 00 00 00 00 00 00"},
      {"a filter that is none", "01 00 00 00 01 00 02 'a#' 00 00 00 00 00 00 00"},
      {"a filter that is no UTF-8", "01 00 00 00 01 00 01 FF 00 00 00 00 00 00 00"},
      {"QoS 3", "01 00 00 00 01 00 01 'a' 03 00 00 00 00 00 00"},
      {"Retain Handling 3", "01 00 00 00 01 00 01 'a' 30 00 00 00 00 00 00"},
      {"reserved bits", "01 00 00 00 01 00 01 'a' 40 00 00 00 00 00 00"},
      {"packet id 0", "01 00 00 00 00 00 01 00 00"},
      {"a packet id twice", "01 00 00 00 00 00 02 00 05 00 05"},
      {"more subscriptions than bytes", "01 FF FF FF FF 00 00"},
      {"more packet ids than bytes", "01 00 00 00 00 FF FF 00 01"},
  };
  for (const Case& one : kCases) {
    const auto session = decode(bytes(one.bytes));
    ASSERT_FALSE(session) << one.what;
    EXPECT_EQ(mqtt::reason_of(session.error()), ReasonCode::MalformedPacket) << one.what;
  }
}

TEST(SessionState, SurvivesAnyBytes) {
  const std::string state =
      bytes("01 00 00 00 02 00 03 'a/#' 2E 00 00 00 07 00 0A '$share/g/b' 00 00 00 00 00 00 02 00 09 01 02");
  std::mt19937_64 random(11);
  for (int round = 0; round < 100'000; ++round) {
    std::string changed = state;
    for (std::uint64_t changes = 1 + random() % 4; changes > 0; --changes) {
      const std::size_t place = random() % changed.size();
      switch (random() % 3) {
        case 0: changed[place] = static_cast<char>(random()); break;
        case 1: changed.erase(place, 1 + random() % 3); break;
        default: changed.insert(place, 1, static_cast<char>(random()));
      }
      if (changed.empty()) changed = "x";
    }
    auto session = decode(changed);
    if (!session) continue;
    const std::string encoded = (*session)->encode_state();
    const auto again = decode(encoded);
    ASSERT_TRUE(again) << hex(changed);
    ASSERT_EQ((*again)->encode_state(), encoded) << hex(changed);
  }
}

}  // namespace
}  // namespace parley::session
