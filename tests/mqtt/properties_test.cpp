#include "mqtt/properties.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/mqtt/notation.hpp"

namespace parley::mqtt {
namespace {

using enum PropertyPlace;

enum class Type : std::uint8_t { Byte, Two, Four, Variable, String, Binary, Pair };

/// MQTT 5 §2.2.2.2, table 2-4, typed in once more from the packets' own sections.
struct Row {
  PropertyId id;
  Type type;
  std::vector<PropertyPlace> places;
  std::string_view good;                  ///< Notation of a value.
  std::vector<std::string_view> refused;  ///< Well formed, out of range: Protocol Error.
};

const std::vector<Row>& rows() {
  using enum PropertyId;
  static const std::vector<Row> list{
      {PayloadFormatIndicator, Type::Byte, {Publish, Will}, "01", {"02", "FF"}},
      {MessageExpiryInterval, Type::Four, {Publish, Will}, "00 00 00 00", {}},
      {ContentType, Type::String, {Publish, Will}, "00 04 'text'", {}},
      {ResponseTopic, Type::String, {Publish, Will}, "00 03 'r/t'", {"00 01 '+'", "00 03 'a/#'", "00 00"}},
      {CorrelationData, Type::Binary, {Publish, Will}, "00 02 00 FF", {}},
      {SubscriptionIdentifier, Type::Variable, {Publish, Subscribe}, "FF FF FF 7F", {"00"}},
      {SessionExpiryInterval, Type::Four, {Connect, Connack, Disconnect}, "FF FF FF FF", {}},
      {AssignedClientIdentifier, Type::String, {Connack}, "00 01 'c'", {}},
      {ServerKeepAlive, Type::Two, {Connack}, "00 00", {}},
      {AuthenticationMethod, Type::String, {Connect, Connack, Auth}, "00 01 'm'", {}},
      {AuthenticationData, Type::Binary, {Connect, Connack, Auth}, "00 01 FF", {}},
      {RequestProblemInformation, Type::Byte, {Connect}, "00", {"02"}},
      {WillDelayInterval, Type::Four, {Will}, "00 00 00 05", {}},
      {RequestResponseInformation, Type::Byte, {Connect}, "01", {"02"}},
      {ResponseInformation, Type::String, {Connack}, "00 00", {}},
      {ServerReference, Type::String, {Connack, Disconnect}, "00 04 'host'", {}},
      {ReasonString,
       Type::String,
       {Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth},
       "00 03 'why'",
       {}},
      {ReceiveMaximum, Type::Two, {Connect, Connack}, "00 01", {"00 00"}},
      {TopicAliasMaximum, Type::Two, {Connect, Connack}, "00 00", {}},
      {TopicAlias, Type::Two, {Publish}, "00 01", {}},  // Zero is for the session: Topic Alias invalid. §3.3.2.3.4
      {MaximumQos, Type::Byte, {Connack}, "01", {"02"}},
      {RetainAvailable, Type::Byte, {Connack}, "00", {"02"}},
      {UserProperty,
       Type::Pair,
       {Will, Connect, Connack, Publish, Puback, Pubrec, Pubrel, Pubcomp, Subscribe, Suback, Unsubscribe, Unsuback,
        Disconnect, Auth},
       "00 01 'k' 00 01 'v'",
       {}},
      {MaximumPacketSize, Type::Four, {Connect, Connack}, "00 00 00 01", {"00 00 00 00"}},
      {WildcardSubscriptionAvailable, Type::Byte, {Connack}, "01", {"02"}},
      {SubscriptionIdentifierAvailable, Type::Byte, {Connack}, "00", {"02"}},
      {SharedSubscriptionAvailable, Type::Byte, {Connack}, "00", {"02"}},
  };
  return list;
}

constexpr PropertyPlace kPlaces[] = {Will,    Connect,   Connack, Publish,     Puback,   Pubrec,     Pubrel,
                                     Pubcomp, Subscribe, Suback,  Unsubscribe, Unsuback, Disconnect, Auth};

std::string list_of(const Row& row, std::string_view value) {
  return std::string(1, static_cast<char>(row.id)) + bytes(value);
}

ReasonCode outcome(std::string_view list, PropertyPlace place) {
  const std::string copy(list);
  const auto result = Properties::validate(copy, place);
  return result ? ReasonCode::Success : reason_of(result.error());
}

bool stands_in(const Row& row, PropertyPlace place) {
  return std::find(row.places.begin(), row.places.end(), place) != row.places.end();
}

bool is_repeatable(const Row& row, PropertyPlace place) {
  return row.id == PropertyId::UserProperty || (row.id == PropertyId::SubscriptionIdentifier && place == Publish);
}

TEST(Properties, StandInTheirPlacesOnly) {
  ASSERT_EQ(rows().size(), 27U);
  for (const Row& row : rows()) {
    for (const PropertyPlace place : kPlaces) {
      const auto expected = stands_in(row, place) ? ReasonCode::Success : ReasonCode::MalformedPacket;
      EXPECT_EQ(outcome(list_of(row, row.good), place), expected)
          << static_cast<int>(row.id) << " in place " << static_cast<int>(place);
    }
  }
}

TEST(Properties, ThatAreUnknownAreMalformed) {
  for (unsigned id = 0; id < 128; ++id) {
    bool known = false;
    for (const Row& row : rows()) known = known || static_cast<unsigned>(row.id) == id;
    if (known) continue;
    for (const PropertyPlace place : kPlaces) {
      EXPECT_EQ(outcome(std::string(1, static_cast<char>(id)) + std::string(8, '\0'), place),
                ReasonCode::MalformedPacket)
          << id;
    }
  }
  // An identifier is a Variable Byte Integer, though none needs two bytes. §2.2.2.2
  for (const std::string_view list :
       {"80", "80 01", "80 01 00", "FF FF FF 7F 00", "A6 00 00 00 00 00", "FF FF FF FF 01"}) {
    EXPECT_EQ(outcome(bytes(list), Publish), ReasonCode::MalformedPacket) << list;
  }
}

TEST(Properties, ThatStandTwiceAreAProtocolError) {
  for (const Row& row : rows()) {
    for (const PropertyPlace place : row.places) {
      const std::string once = list_of(row, row.good);
      const auto expected = is_repeatable(row, place) ? ReasonCode::Success : ReasonCode::ProtocolError;
      EXPECT_EQ(outcome(once + once, place), expected) << static_cast<int>(row.id);
      // Also with others between them.
      const std::string user = bytes("26 00 00 00 00");
      EXPECT_EQ(outcome(user + once + user + once + user, place), expected) << static_cast<int>(row.id);
    }
  }
}

TEST(Properties, OutOfRangeAreAProtocolError) {
  for (const Row& row : rows()) {
    for (const std::string_view value : row.refused) {
      for (const PropertyPlace place : row.places) {
        EXPECT_EQ(outcome(list_of(row, value), place), ReasonCode::ProtocolError)
            << static_cast<int>(row.id) << " " << value;
      }
    }
  }
}

TEST(Properties, CutShortAreMalformed) {
  for (const Row& row : rows()) {
    const std::string whole = list_of(row, row.good);
    for (std::size_t size = 1; size < whole.size(); ++size) {
      EXPECT_EQ(outcome(whole.substr(0, size), row.places[0]), ReasonCode::MalformedPacket)
          << static_cast<int>(row.id) << " " << size;
    }
  }
}

TEST(Properties, WithTextThatIsNoUtf8AreMalformed) {
  for (const Row& row : rows()) {
    const bool text = row.type == Type::String || row.type == Type::Pair;
    for (const std::string_view bad : {"00 01 FF", "00 01 00", "00 03 ED A0 80", "00 02 C0 80"}) {
      std::vector<std::string> values{std::string(bad)};
      if (row.type == Type::Pair) values = {std::string(bad) + " 00 01 'v'", "00 01 'k' " + std::string(bad)};
      if (!text) continue;
      for (const std::string& value : values) {
        EXPECT_EQ(outcome(list_of(row, value), row.places[0]), ReasonCode::MalformedPacket)
            << static_cast<int>(row.id) << " " << value;
      }
    }
  }
}

TEST(Properties, WithIntegersLongerThanNeededAreMalformed) {
  for (const std::string_view value : {"80 00", "FF 80 00", "80 80 80 00", "80 80 80 80 01", "FF FF FF FF 7F"}) {
    EXPECT_EQ(outcome(bytes("0B") + bytes(value), Subscribe), ReasonCode::MalformedPacket) << value;
  }
}

TEST(Properties, AllOfAPlaceAreReadBack) {
  for (const PropertyPlace place : kPlaces) {
    std::string list;
    std::vector<const Row*> expected;
    for (const Row& row : rows()) {
      if (!stands_in(row, place)) continue;
      list += list_of(row, row.good);
      expected.push_back(&row);
    }
    const auto properties = Properties::validate(list, place);
    ASSERT_TRUE(properties);
    std::size_t count = 0;
    std::string joined;
    for (const auto& item : *properties) {
      ASSERT_LT(count, expected.size());
      const Row& row = *expected[count++];
      EXPECT_EQ(item.id, row.id);
      EXPECT_EQ(hex(item.raw), hex(list_of(row, row.good)));
      joined += item.raw;
      const bool is_text = row.type == Type::String || row.type == Type::Binary;
      if (is_text) {
        EXPECT_EQ(properties->text(row.id), bytes(row.good).substr(2));
      } else if (row.type != Type::Pair) {
        EXPECT_EQ(properties->integer(row.id), item.integer);
      }
    }
    EXPECT_EQ(count, expected.size());
    EXPECT_EQ(joined, list);
    EXPECT_EQ(properties->bytes(), list);
    EXPECT_EQ(properties->user("k"), "v");
  }
}

TEST(Properties, AnswerNothingForWhatIsNotThere) {
  const Properties none;
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.integer(PropertyId::TopicAlias), std::nullopt);
  EXPECT_EQ(none.text(PropertyId::ContentType), std::nullopt);
  EXPECT_EQ(none.user("k"), std::nullopt);
}

TEST(Properties, GiveTheFirstUserPropertyOfAName) {
  const auto list = properties("26 00 01 'a' 00 01 '1' 26 00 01 'b' 00 01 '2' 26 00 01 'a' 00 01 '3'");
  EXPECT_EQ(list.user("a"), "1");
  EXPECT_EQ(list.user("b"), "2");
  EXPECT_EQ(list.user(""), std::nullopt);
}

TEST(Properties, ThatWereNeverValidatedEndWhereTheyMakeNoSense) {
  for (const std::string_view list : {"FF", "00", "26", "26 00 05 'a'", "01", "0B FF FF FF FF", "03 FF FF 'a'"}) {
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& item : properties(list)) ++count;
    EXPECT_EQ(count, 0U) << list;
  }
}

TEST(PropertyWriter, WritesWhatTheTableAsksFor) {
  PropertyWriter writer;
  EXPECT_TRUE(writer.empty());
  writer.integer(PropertyId::PayloadFormatIndicator, 1)
      .integer(PropertyId::ReceiveMaximum, 0x1234)
      .integer(PropertyId::MessageExpiryInterval, 0x1234'5678)
      .integer(PropertyId::SubscriptionIdentifier, 268'435'455)
      .integer(PropertyId::SubscriptionIdentifier, 127)
      .integer(PropertyId::SubscriptionIdentifier, 128)
      .text(PropertyId::ContentType, "t")
      .text(PropertyId::CorrelationData, "")
      .user("k", "v")
      .raw(bytes("23 00 01"));
  EXPECT_EQ(hex(writer.bytes()),
            hex(bytes("01 01 21 12 34 02 12 34 56 78 0B FF FF FF 7F 0B 7F 0B 80 01 03 00 01 't' 09 00 00"
                      "26 00 01 'k' 00 01 'v' 23 00 01")));
  EXPECT_FALSE(writer.empty());
  writer.clear();
  EXPECT_TRUE(writer.empty());
  EXPECT_EQ(std::move(writer.user("a", "b")).take(), bytes("26 00 01 'a' 00 01 'b'"));
}

TEST(PropertyWriter, CutsTextThatNoPropertyCanHold) {
  const std::string text(70'000, 'x');
  PropertyWriter writer;
  writer.text(PropertyId::ContentType, text).user(text, text);
  const auto list = Properties::validate(writer.bytes(), Publish);
  ASSERT_TRUE(list);
  EXPECT_EQ(list->text(PropertyId::ContentType)->size(), 65'535U);
  EXPECT_EQ(list->user(std::string(65'535, 'x'))->size(), 65'535U);
}

TEST(PropertyWriter, IsReadBackWhateverTheProperty) {
  for (const Row& row : rows()) {
    const std::string list = list_of(row, row.good);
    const auto parsed = Properties::validate(list, row.places[0]);
    ASSERT_TRUE(parsed);
    const auto item = *parsed->begin();
    PropertyWriter writer;
    switch (row.type) {
      case Type::String:
      case Type::Binary: writer.text(row.id, item.text); break;
      case Type::Pair: writer.user(item.name, item.text); break;
      default: writer.integer(row.id, item.integer);
    }
    EXPECT_EQ(hex(writer.bytes()), hex(list));
  }
}

}  // namespace
}  // namespace parley::mqtt
