#include "broker/shard/node_events.hpp"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace parley::shard::remote {
namespace {

/// One of each, with every field set.
std::vector<Event> samples() {
  return {
      Propose{1, 2, "room", format::EntryKind::Edit, true, "ann", "i1", "\x01\x01", "hello", 2},
      Proposed{{3}, 1, 2, Status::Refused, chat::Refusal::Busy, {7}, {8}, "i1", true, ",\"role\":\"owner\""},
      Follow{4, "room"},
      Unfollow{4, "room"},
      Followed{4,
               "room",
               Status::Done,
               chat::Refusal::None,
               {99},
               {~std::uint64_t{0}},
               {1},
               {300},
               format::ConversationType::Group,
               format::Visibility::Public,
               {7}},
      Committed{4, "room", {"record", ""}},
      Read{5, {99}, {1}, {128}, 256, 65536},
      Page{{3}, 5, Status::Failed, {{7}, {9}}, {"record"}},
      Claim{{3}, 6, "phone", "ann", 4},
      Claimed{{3}, 6, Status::Done, 2, true, "ann", 3600, {1}, "state", {{"chat/room/msg", {5}, {6}}}},
      Yield{{3}, "phone", 2},
      Yielded{{3}, "phone", 2},
      Write{{3}, 1, 2, 3, "phone", {"record", "record"}},
      Written{{3}, 1, 2, Status::NotLeader},
      Hold{{3}, "phone", 2},
      Filters{7, true, {"a/#", "b"}, {"c"}},
      FiltersTaken{7},
      Group{"workers", "jobs/+", 4},
      Message{1, 2, 3, true, "workers", "jobs/+", "jobs/1", "\x01\x01", "do", 2, true, 5000, {11}, {12}},
      MessageTaken{2, 3, true},
      Access{8, "room", "ann", true},
      Accessed{{3}, 8, Status::Done, chat::Refusal::None, {4}, {{"ann", {5}, {6}}}},
      FollowUser{9, "ann"},
      UnfollowUser{9, "ann"},
      UserConversations{{3}, 9, "ann", Status::Done, true, true, {{{99}, "room", {5}, true, {6}}}},
      SnapshotOffer{{3}, {4}},
      SnapshotRead{{3}, 9, "position", "known"},
      SnapshotPage{{3}, 9, Status::Done, {4}, {1'000}, {7}, "voters", "learners", "next", "piece"},
      SnapshotTaken{{3}, {4}, {1'000}},
      Notice{4, "room", "ann", {{"bob", {5}, {6}}, {"ann", {7}, {8}}}},
      Delivered{"room", {{"bob", {0}, {6}}}},
      PresenceReport{"ann", 2, true, 30'000, true, "here", {7}, true, "gone"},
      PresenceFollow{"ann", true},
      PresenceShown{"ann", true, 2, {7}, "here"},
      PresenceAsk{"ann", "bob", {{99}, {100}}, true, {3}, 1, 8},
      PresenceAnswer{8, chat::Refusal::NotAuthorized},
      OnlineAsk{{3}, {"ann", "bob"}, {3}, 1, 8},
      OnlineAnswer{8, 2, {"ann"}},
      ClientAsk{{3}, "phone", true, "go away", 1, 9},
      ClientAnswer{9, true, "phone", "ann", "10.0.0.1:99", "tls", 5, 60, 3, 2, 1, 3'600},
      PresenceRecheck{"ann"},
      Left{{3}, "phone", 2, 1500},
      Settled{{3}, "phone", 2, true},
      ErasureAsk{{3}, "ann", {9}, true, {3}, 1},
      ErasureAnswer{{3}, "ann", {9}, true, 7},
      ShareGrant{~std::uint64_t{0}, {{7}, {9}}},
      ShareDone{"room", "g", 8, {{7}, {9}}},
  };
}

/// Without the envelope, which is two bytes for a small slot.
std::string body_of(const Event& event) { return encode_for(Slot{9}, event).substr(2); }

TEST(NodeEvents, ComeBackAsTheyWent) {
  const auto all = samples();
  ASSERT_EQ(all.size(), std::variant_size_v<Event>) << "a kind has no sample";
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].index(), i);
    const std::string bytes = body_of(all[i]);
    const auto event = decode(bytes);
    ASSERT_TRUE(event) << "kind " << i;
    EXPECT_EQ(event->index(), i);
    EXPECT_EQ(body_of(*event), bytes);
  }
}

TEST(NodeEvents, KeepTheirFields) {
  const std::string bytes = body_of(samples()[4]);
  const auto event = decode(bytes);
  ASSERT_TRUE(event);
  const auto& followed = std::get<Followed>(*event);
  EXPECT_EQ(followed.conversation, "room");
  EXPECT_EQ(followed.epoch, Epoch{~std::uint64_t{0}});
  EXPECT_EQ(followed.head, Seq{300});
}

TEST(NodeEvents, BeginWithTheirEnvelope) {
  EXPECT_EQ(encode_for(Slot{300}, FiltersTaken{1}), std::string("\0\xAC\x02\x01\x10\x01", 6));
  EXPECT_EQ(encode_for_shard(5, FiltersTaken{1}), std::string("\x01\x05\x01\x10\x01", 5));
}

TEST(NodeEvents, RefusesWhatIsCutShortOrGoesOn) {
  for (const Event& event : samples()) {
    const std::string bytes = body_of(event);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      EXPECT_FALSE(decode(std::string_view(bytes).substr(0, size))) << "kind " << event.index() << ", " << size;
    }
    EXPECT_FALSE(decode(bytes + '\0')) << "kind " << event.index();
  }
}

/// Only nodes that speak version 3 of the peer protocol are sent the field.
TEST(NodeEvents, HaveAPublisherOnlyWhereItIsKnown) {
  Message message{1, 2, 3, true, "", "", "a", "", "x", 1, false, 0, {0}, {0}};
  const std::string bare = body_of(message);
  EXPECT_EQ(bare, std::string("\1\x12\1\2\3\1\0\0\1"
                              "a\0\1x\1\0\0\0\0",
                              18));
  message.publisher = 300;
  EXPECT_EQ(body_of(message), bare + "\xAC\2");
  std::string added = bare;
  append_publisher(added, 300);
  EXPECT_EQ(added, body_of(message));
  append_publisher(added = bare, 0);
  EXPECT_EQ(added, bare);
  EXPECT_EQ(std::get<Message>(*decode(bare)).publisher, 0U);
  EXPECT_EQ(std::get<Message>(*decode(body_of(message))).publisher, 300U);
  EXPECT_FALSE(decode(bare + '\0')) << "a publisher of 0";
  EXPECT_FALSE(decode(bare + "\xAC")) << "cut short";
  EXPECT_FALSE(decode(bare + "\1\1")) << "more behind it";
}

TEST(NodeEvents, ProposeWithAPublisherOnlyWhereItIsKnown) {
  Propose propose{1, 2, "r", format::EntryKind::Message, true, "a", "i", "", "x", 0};
  const std::string bare = body_of(propose);
  EXPECT_EQ(bare, std::string("\1\0\1\2\1r\1\1\1"
                              "a\1i\0\1x\0",
                              16));
  propose.publisher = 300;
  EXPECT_EQ(body_of(propose), bare + "\xAC\2");
  EXPECT_EQ(std::get<Propose>(*decode(bare)).publisher, 0U);
  EXPECT_EQ(std::get<Propose>(*decode(body_of(propose))).publisher, 300U);
  EXPECT_FALSE(decode(bare + '\0')) << "a publisher of 0";
  EXPECT_FALSE(decode(bare + "\xAC")) << "cut short";
  EXPECT_FALSE(decode(bare + "\1\1")) << "more behind it";
}

TEST(NodeEvents, RefusesWhatItDoesntKnow) {
  struct Case {
    std::string_view why;
    std::string bytes;
  };
  const std::vector<Case> cases{
      {"nothing", ""},
      {"version 0", std::string("\0\x10\x01", 3)},
      {"version 2", "\x02\x10\x01"},
      {"kind 47", "\x01\x2F\x01"},
      {"a number longer than it need be", std::string("\x01\x10\x81\0", 4)},
      {"a number of 65 bits", "\x01\x10\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02"},
      {"a list longer than its bytes", "\x01\x07\x03\x05\x03\x7F"},
      {"a status that isn't", std::string("\x01\x0D\x03\x01\x02\x04", 6)},
      {"a flag of 2", std::string("\x01\x0F\x07\x02\0\0", 6)},
  };
  for (const Case& one : cases) EXPECT_FALSE(decode(one.bytes)) << one.why;
}

TEST(NodeEvents, TravelOnTheirChannels) {
  EXPECT_EQ(channel_of(Propose{}), NodeChannel::Proposals);
  EXPECT_EQ(channel_of(Committed{}), NodeChannel::Entries);
  EXPECT_EQ(channel_of(Page{}), NodeChannel::Pages);
  EXPECT_EQ(channel_of(Hold{}), NodeChannel::Sessions);
  EXPECT_EQ(channel_of(Filters{}), NodeChannel::Messages);
  EXPECT_EQ(channel_of(MessageTaken{}), NodeChannel::Messages);
}

}  // namespace
}  // namespace parley::shard::remote
