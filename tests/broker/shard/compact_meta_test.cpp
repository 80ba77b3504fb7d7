#include "broker/shard/compact_meta.hpp"

#include <algorithm>
#include <map>

#include "broker/shard/entry_message.hpp"
#include "mqtt/encode.hpp"
#include "tests/broker/shard/scene.hpp"

namespace parley::shard {
namespace {

constexpr std::uint64_t kTimeOrigin = 1'735'689'600'000;

/// What a client makes of it: docs/PROTOCOL.md, "Compact descriptions".
struct Description {
  std::uint64_t seq = 0;
  std::uint64_t ts = 0;
  std::string from;
  std::string id;
  unsigned kind = 1;
  std::uint64_t ref = 0;
};

class Decoder {
 public:
  Description read(std::string_view bytes) {
    rest_ = bytes;
    Description found;
    const unsigned flags = byte();
    found.seq = number();
    found.ts = kTimeOrigin + number();
    const unsigned place = byte();
    if ((flags & 1U) != 0) senders_[place] = text();
    found.from = senders_[place];
    if ((flags & 2U) != 0) found.id = text();
    if ((flags & 4U) != 0) {
      found.kind = byte();
      found.ref = number();
    }
    EXPECT_TRUE(rest_.empty());
    return found;
  }

 private:
  unsigned byte() {
    const auto value = static_cast<unsigned char>(rest_.at(0));
    rest_.remove_prefix(1);
    return value;
  }
  std::uint64_t number() {
    std::uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
      const unsigned digit = byte();
      value |= static_cast<std::uint64_t>(digit & 0x7FU) << shift;
      if (digit < 0x80) return value;
    }
  }
  std::string text() {
    const std::size_t size = byte();
    std::string value(rest_.substr(0, size));
    rest_.remove_prefix(size);
    return value;
  }

  std::string_view rest_;
  std::map<unsigned, std::string> senders_;
};

std::string hex(std::string_view bytes) {
  std::string text;
  for (const char c : bytes) {
    const unsigned byte = static_cast<unsigned char>(c);
    text.push_back("0123456789abcdef"[byte >> 4U]);
    text.push_back("0123456789abcdef"[byte & 15U]);
  }
  return text;
}

TEST(CompactMeta, HasTheBytesThatTheProtocolPageShows) {
  const format::EntryRecord entry{.seq = {300}, .ts = {kTimeOrigin + 60'000'000'000}, .from = "alice", .id = "a-1"};
  EXPECT_EQ(hex(compact_meta(entry, {.sender_named = true})), "01ac0280b09dc2df01f505616c696365");
  EXPECT_EQ(hex(compact_meta(entry, {.sender_named = false})), "00ac0280b09dc2df01f5");
  EXPECT_EQ(hex(compact_meta(entry, {.sender_named = false, .has_id = true})), "02ac0280b09dc2df01f503612d31");
}

TEST(CompactMeta, TakesElevenBytesForAUsualMessage) {
  const format::EntryRecord entry{.seq = {2'097'151}, .ts = {kTimeOrigin + (1ULL << 42) - 1}, .from = "alice"};
  EXPECT_EQ(compact_meta(entry, {.sender_named = false}).size(), 11U);
}

TEST(CompactMeta, TellsKindAndReferenceOfOtherEntries) {
  const format::EntryRecord entry{
      .seq = {7}, .ts = {kTimeOrigin + 1}, .kind = format::EntryKind::Edit, .ref = {500}, .from = "bob"};
  const auto found = Decoder().read(compact_meta(entry, {}));
  EXPECT_EQ(found.seq, 7U);
  EXPECT_EQ(found.ts, kTimeOrigin + 1);
  EXPECT_EQ(found.from, "bob");
  EXPECT_EQ(found.kind, 2U);
  EXPECT_EQ(found.ref, 500U);
}

TEST(CompactMeta, SendersWhoShareAPlaceTakeTurns) {
  std::string other;
  for (int i = 0; other.empty(); ++i) {
    std::string name = "user" + std::to_string(i);
    if (sender_place(name) == sender_place("alice")) other = std::move(name);
  }
  NamedSenders senders;
  EXPECT_FALSE(senders.knows("alice"));
  senders.name("alice");
  EXPECT_TRUE(senders.knows("alice"));
  EXPECT_FALSE(senders.knows(other));
  senders.name(other);
  EXPECT_FALSE(senders.knows("alice"));
  senders.clear();
  EXPECT_FALSE(senders.knows(other));
}

ConnectOptions with_meta(std::string word, ConnectOptions options = {}) {
  options.users = {{"meta", std::move(word)}};
  return options;
}

TEST(CompactMeta, DescribesEachDeliveredEntry) {
  World world(1, dev(2));
  auto& reader = join(world, "reader", with_meta("compact"));
  follow(world, reader, "chat/room/msg");
  std::vector<std::string> names;
  for (int i = 0; i < 40; ++i) {
    names.push_back("user" + std::to_string(i % 2 * 3));
    auto& sender = world.client(names.back());
    if (!sender.connected()) join(world, names.back());
    sender.publish("chat/room/msg", "hello", {.id = "m" + std::to_string(i), .users = {{"thread", "7"}}});
    world.settle();
  }
  Decoder decoder;
  ASSERT_EQ(reader.received.size(), 40U);
  for (std::size_t i = 0; i < 40; ++i) {
    const Received& message = reader.received[i];
    const auto found = decoder.read(message.correlation);
    EXPECT_EQ(found.seq, i + 1);
    EXPECT_EQ(found.from, names[i]);
    EXPECT_EQ(found.id, "") << "only the sender's own copies have it";
    EXPECT_EQ(message.user("seq"), "");
    EXPECT_EQ(message.user("thread"), "7") << "what the sender has said stays";
    if (i >= 2) {
      EXPECT_LE(message.correlation.size(), 11U);
    }
  }
}

/// A name that others use, too: it must not keep a client out.
TEST(CompactMeta, AnotherWordMeansTheStandard) {
  for (const char* word : {"tiny", "", "Compact"}) {
    World world(1, dev());
    auto& alice = join(world, "alice", with_meta(word));
    follow(world, alice, "chat/room/msg");
    say(world, alice, "chat/room/msg", "hello");
    ASSERT_EQ(alice.received.size(), 1U);
    EXPECT_EQ(alice.received[0].user("seq"), "1") << word;
    EXPECT_EQ(alice.received[0].correlation, "") << word;
  }
}

TEST(CompactMeta, GivesSendersTheirOwnIdsBack) {
  World world(1, dev());
  auto& alice = join(world, "alice", with_meta("compact"));
  follow(world, alice, "chat/room/msg");
  alice.publish("chat/room/msg", "mine", {.id = "a-1"});
  alice.publish("chat/room/msg", "mine, too", {.id = "a-2"});
  world.settle();
  Decoder decoder;
  ASSERT_EQ(alice.received.size(), 2U);
  EXPECT_EQ(decoder.read(alice.received[0].correlation).id, "a-1");
  const auto second = decoder.read(alice.received[1].correlation);
  EXPECT_EQ(second.id, "a-2");
  EXPECT_EQ(second.from, "alice");
}

/// A connection knows nothing of what the one before it was told.
TEST(CompactMeta, NamesSendersAgainOnEachConnection) {
  World world(1, dev());
  auto& bob = join(world, "bob");
  auto& reader = join(world, "reader", with_meta("compact", lasting()));
  follow(world, reader, "chat/room/msg");
  for (int connection = 0; connection < 3; ++connection) {
    bob.publish("chat/room/msg", "hello");
    bob.publish("chat/room/msg", "hello");
    world.settle();
    Decoder decoder;
    ASSERT_EQ(reader.received.size(), 2U);
    for (const Received& message : reader.received) EXPECT_EQ(decoder.read(message.correlation).from, "bob");
    reader.received.clear();
    reader.drop();
    world.settle();
    join(world, "reader", with_meta("compact", lasting()));
  }
}

/// Who was named in a message that is too large for the client was not named.
TEST(CompactMeta, NamesASenderAgainAfterAMessageTooLarge) {
  World world(1, dev());
  auto& bob = join(world, "bob");
  auto options = with_meta("compact");
  options.packet_size_max = 200;
  auto& reader = join(world, "reader", options);
  follow(world, reader, "chat/room/msg");
  bob.publish("chat/room/msg", std::string(500, 'x'));
  bob.publish("chat/room/msg", "small");
  world.settle();
  ASSERT_EQ(reader.received.size(), 2U);
  EXPECT_EQ(reader.received[0].payload, R"({"kind":"gap","first":1,"last":1})");
  EXPECT_EQ(Decoder().read(reader.received[1].correlation).from, "bob");
}

TEST(CompactMeta, OverheadOfASmallMessageIsAtMostTwentyFourBytes) {
  const auto entry = format::Entry::make(
      {},
      {.seq = {2'097'151}, .ts = {kTimeOrigin + (1ULL << 42) - 1}, .from = "alice", .id = "a-1", .payload = "hello"});
  const auto message = compact_entry_message("chat", "lobby", *entry, {.sender_named = false});
  const mqtt::Delivery delivery{.version = ProtocolVersion::V5,
                                .qos = Qos::AtLeastOnce,
                                .packet_id = 1,
                                .topic_alias = 1,
                                .topic_in_full = false};
  EXPECT_EQ(mqtt::delivery_size(*message, delivery) - message->payload().size(), 24U);
}

TEST(CompactMeta, NoneLeavesWhatTheSenderHasSaid) {
  World world(1, dev());
  auto& bob = join(world, "bob");
  auto& reader = join(world, "reader", with_meta("none"));
  follow(world, reader, "chat/room/msg");
  follow(world, reader, "chat/room/json");
  bob.publish("chat/room/msg", "hello", {.users = {{"thread", "7"}}});
  world.settle();
  ASSERT_EQ(reader.received.size(), 2U);
  const auto& message = reader.received[reader.received[0].topic == "chat/room/msg" ? 0 : 1];
  EXPECT_EQ(message.users, (UserProperties{{"thread", "7"}}));
  EXPECT_EQ(message.correlation, "");
}

}  // namespace
}  // namespace parley::shard
