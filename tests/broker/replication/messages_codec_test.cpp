#include "broker/replication/messages_codec.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

namespace parley::replication {
namespace {

std::string bytes(std::initializer_list<int> values) {
  std::string text;
  for (const int value : values) text.push_back(static_cast<char>(value));
  return text;
}

template <class Value>
std::string encoded(const Value& value) {
  std::string out;
  encode(value, out);
  return out;
}

PeerMessage message(PeerMessage::Body body) { return {.slot = {200}, .term = {5}, .body = std::move(body)}; }

std::string records(std::initializer_list<std::string_view> list) {
  std::string text;
  for (const std::string_view record : list) append_record(text, record);
  return text;
}

TEST(MessagesCodec, WritesWhatTheFormatPageSays) {  // docs/formats/replication.md
  const std::string two = records({"ab", "c"});
  struct Case {
    const char* name;
    PeerMessage message;
    std::string bytes;
  };
  const Case cases[] = {
      {"AppendEntries",
       message(AppendEntries{.prev = {{4}, {300}}, .entries_term = {5}, .count = 2, .commit = {299}, .records = two}),
       bytes({0x11, 0xC8, 1, 5, 4, 0xAC, 2, 5, 2, 0xAB, 2, 0, 2, 'a', 'b', 1, 'c'})},
      {"AppendEntries that asks", message(AppendEntries{.prev = {{4}, {3}}, .commit = {2}}),
       bytes({0x11, 0xC8, 1, 5, 4, 3, 0, 0, 2, 0})},
      {"AppendEntries with replicas",
       message(AppendEntries{.prev = {{5}, {1}},
                             .entries_term = {5},
                             .count = 1,
                             .replicas = ReplicaSet{.voters = {{1}, {2}}, .learners = {{3}}},
                             .records = std::string_view(two).substr(0, 3)}),
       bytes({0x11, 0xC8, 1, 5, 5, 1, 5, 1, 0, 1, 2, 1, 2, 1, 3, 2, 'a', 'b'})},
      {"AppendEntriesReply", message(AppendEntriesReply{.success = true, .match = {7}, .received = {9}, .commit = {6}}),
       bytes({0x12, 0xC8, 1, 5, 1, 7, 9, 6, 0, 0})},
      {"AppendEntriesReply that refuses",
       message(AppendEntriesReply{.received = {9}, .commit = {6}, .hint = {{3}, {8}}}),
       bytes({0x12, 0xC8, 1, 5, 0, 0, 9, 6, 3, 8})},
      {"RequestVote", message(RequestVote{.last = {{4}, {9}}, .transfer = true}), bytes({0x13, 0xC8, 1, 5, 4, 9, 1})},
      {"RequestVoteReply", message(RequestVoteReply{.granted = true}), bytes({0x14, 0xC8, 1, 5, 1})},
      {"PreVote", message(PreVote{.last = {{4}, {9}}}), bytes({0x15, 0xC8, 1, 5, 4, 9})},
      {"PreVoteReply", message(PreVoteReply{.granted = false}), bytes({0x16, 0xC8, 1, 5, 0})},
      {"TimeoutNow", message(TimeoutNow{}), bytes({0x17, 0xC8, 1, 5})},
      {"CommitHint", message(CommitHint{.commit = {128}}), bytes({0x18, 0xC8, 1, 5, 0x80, 1})},
  };
  for (const Case& one : cases) {
    EXPECT_EQ(encoded(one.message), one.bytes) << one.name;
    const auto decoded = decode(one.bytes);
    ASSERT_TRUE(decoded) << one.name << ": " << decoded.error().message();
    EXPECT_EQ(std::get<PeerMessage>(*decoded), one.message) << one.name;
  }
}

TEST(MessagesCodec, WritesHeartbeats) {
  Heartbeat heartbeat{.incarnation = 0xFFFF'FFFF'FFFF'FFFF, .sent = 3, .peer_incarnation = 2, .echo = 1, .version = 6};
  EXPECT_EQ(encoded(heartbeat),
            bytes({0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 3, 2, 1, 6, 0, 0}));
  heartbeat.leading = {{{1}, {5}}, {{300}, {6}}};
  const std::string text = encoded(heartbeat);
  EXPECT_EQ(text.substr(text.size() - 7), bytes({1, 2, 1, 5, 0xAC, 2, 6}));
  const auto decoded = decode(text);
  ASSERT_TRUE(decoded);
  EXPECT_EQ(std::get<Heartbeat>(*decoded), heartbeat);
}

TEST(MessagesCodec, RefusesWhatNoPeerWrites) {
  struct Case {
    const char* name;
    std::string bytes;
    ReplicationError error = ReplicationError::MalformedMessage;
  };
  const Case cases[] = {
      {"nothing", ""},
      {"a newer version", bytes({0x27, 1, 1}), ReplicationError::NewerProtocol},
      {"no version", bytes({0x07, 1, 1})},
      {"an unknown kind", bytes({0x19, 1, 1})},
      {"an end in a number", bytes({0x17, 1, 0x80})},
      {"no term", bytes({0x17, 1})},
      {"too much", bytes({0x17, 1, 1, 0})},
      {"a number that is longer than it need be", bytes({0x17, 0x81, 0, 1})},
      {"a number of more than 64 bits",
       bytes({0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 2, 3, 2, 1, 6, 0, 0})},
      {"a position that could overflow", bytes({0x18, 1, 1, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F})},
      {"a flag that is no flag", bytes({0x16, 1, 1, 2})},
      {"fewer records than counted", bytes({0x11, 1, 5, 4, 3, 5, 2, 0, 0, 1, 'a'})},
      {"more records than counted", bytes({0x11, 1, 5, 4, 3, 5, 1, 0, 0, 1, 'a', 1, 'b'})},
      {"a record that is longer than the message", bytes({0x11, 1, 5, 4, 3, 5, 1, 0, 0, 2, 'a'})},
      {"records of an earlier term than the one before", bytes({0x11, 1, 5, 4, 3, 3, 1, 0, 0, 1, 'a'})},
      {"records of no term", bytes({0x11, 1, 5, 0, 0, 0, 1, 0, 0, 1, 'a'})},
      {"a term of no records", bytes({0x11, 1, 5, 4, 3, 5, 0, 0, 0})},
      {"replicas beside other records", bytes({0x11, 1, 5, 4, 3, 5, 2, 0, 1, 1, 1, 0, 1, 'a', 1, 'b'})},
      {"a replica twice", bytes({0x11, 1, 5, 4, 3, 5, 1, 0, 1, 1, 1, 1, 1, 1, 'a'})},
      {"a success that hints", bytes({0x12, 1, 5, 1, 7, 9, 6, 1, 0})},
      {"a refusal that matches", bytes({0x12, 1, 5, 0, 7, 9, 6, 0, 0})},
      {"more durable than received", bytes({0x12, 1, 5, 1, 9, 7, 6, 0, 0})},
      {"a heartbeat of nobody", bytes({0x10, 0, 3, 2, 1, 6, 0, 0})},
      {"a list that isn't sorted", bytes({0x10, 1, 3, 2, 1, 6, 0, 1, 2, 5, 1, 5, 1})},
      {"a list that is longer than the message", bytes({0x10, 1, 3, 2, 1, 6, 0, 1, 0xFF, 0x7F, 5, 1})},
  };
  for (const Case& one : cases) {
    const auto decoded = decode(one.bytes);
    ASSERT_FALSE(decoded) << one.name;
    EXPECT_EQ(decoded.error(), one.error) << one.name;
  }
}

TEST(MessagesCodec, RefusesEveryBeginningOfAMessage) {
  const std::string text = encoded(message(AppendEntriesReply{.received = {9}, .commit = {6}, .hint = {{3}, {8}}}));
  for (std::size_t size = 0; size < text.size(); ++size) EXPECT_FALSE(decode(text.substr(0, size))) << size;
}

TEST(MessagesCodec, LetsRecordsBePutBehindTheMessage) {
  AppendEntries body{.prev = {{4}, {3}}, .entries_term = {5}, .count = 3};
  std::string text = encoded(message(body));
  const std::vector<std::string> list{"one", "", std::string(300, 'x')};
  for (const std::string& record : list) append_record(text, record);
  const auto decoded = decode(text);
  ASSERT_TRUE(decoded);
  std::string_view rest = std::get<AppendEntries>(std::get<PeerMessage>(*decoded).body).records;
  for (const std::string& record : list) EXPECT_EQ(next_record(rest), record);
  EXPECT_TRUE(rest.empty());
}

TEST(PeerMessageCodec, TakesNodeIdsOfAllBits) {
  const NodeId high{~std::uint64_t{0}};
  const PeerMessage message{.slot = {1},
                            .term = {2},
                            .body = AppendEntries{.prev = {},
                                                  .entries_term = {2},
                                                  .count = 1,
                                                  .commit = {},
                                                  .replicas = ReplicaSet{.voters = {{1}, high}, .learners = {}},
                                                  .records = std::string_view("\x01r", 2)}};
  std::string bytes;
  encode(message, bytes);
  const auto decoded = decode(bytes);
  ASSERT_TRUE(decoded) << decoded.error().message();
  EXPECT_EQ(std::get<PeerMessage>(*decoded), message);
}

}  // namespace
}  // namespace parley::replication
