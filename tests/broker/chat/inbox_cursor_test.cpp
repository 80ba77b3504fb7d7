#include "broker/chat/inbox_cursor.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/base64.hpp"
#include "base/bytes.hpp"

namespace parley::chat {
namespace {

InboxCursor sample() {
  return {.user = "ann",
          .complete = true,
          .floor = {1'772'366'400'125},
          .positions = {{{7}, 0xBEEF, {0}}, {{8}, 1, {300}}, {{1'000'000}, 2, {~std::uint64_t{0}}}}};
}

TEST(InboxCursor, SaysWhereItsUserStands) {
  const std::string token = encode_inbox_cursor(sample());
  const auto read = decode_inbox_cursor(token, "ann");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->positions, sample().positions);
  EXPECT_EQ(read->floor, sample().floor);
  EXPECT_TRUE(read->complete);
  ASSERT_NE(read->find({8}), nullptr);
  EXPECT_EQ(read->find({8})->acknowledged, Seq{300});
  EXPECT_EQ(read->find({9}), nullptr);
  EXPECT_EQ(encode_inbox_cursor(*read), token);
}

TEST(InboxCursor, AnIncompleteOneSaysSo) {
  auto cursor = sample();
  cursor.complete = false;
  const auto read = decode_inbox_cursor(encode_inbox_cursor(cursor), "ann");
  ASSERT_TRUE(read);
  EXPECT_FALSE(read->complete);
}

TEST(InboxCursor, AnotherUsersIsNone) { EXPECT_FALSE(decode_inbox_cursor(encode_inbox_cursor(sample()), "bob")); }

TEST(InboxCursor, ADamagedOneIsNone) {
  const std::string token = encode_inbox_cursor(sample());
  for (std::size_t i = 0; i < token.size(); ++i) {
    EXPECT_FALSE(decode_inbox_cursor(token.substr(0, i), "ann")) << i;
    std::string changed = token;
    changed[i] = changed[i] == 'A' ? 'B' : 'A';
    EXPECT_FALSE(decode_inbox_cursor(changed, "ann")) << i;
  }
  for (const auto* garbage : {"", "x", "last", "AAAA", "++++", "\xFF"}) {
    EXPECT_FALSE(decode_inbox_cursor(garbage, "ann")) << garbage;
  }
}

/// With a check value that is right.
std::string sealed(std::string bytes) {
  append_big_endian(bytes, static_cast<std::uint16_t>(stable_hash(bytes)));
  std::string token;
  append_base64url(token, bytes);
  return token;
}

TEST(InboxCursor, WhatIsNotWrittenThatWayIsNone) {
  std::string head("\x01\x00", 2);
  append_big_endian(head, static_cast<std::uint32_t>(stable_hash("ann")));
  const auto with = [&](std::string rest) { return decode_inbox_cursor(sealed(head + rest), "ann").has_value(); };
  EXPECT_TRUE(with(std::string("\x05\x00", 2)));
  EXPECT_TRUE(with(std::string("\x05\x01\x07\x00\x01\x02", 6)));
  EXPECT_FALSE(with(std::string("\x05\x01\x07\x00\x01\x02\x00", 7))) << "something behind it";
  EXPECT_FALSE(with(std::string("\x05\x01\x00\x00\x01\x02", 6))) << "number 0";
  EXPECT_FALSE(with(std::string("\x05\x02\x07\x00\x01\x02\x00\x00\x01\x02", 10))) << "a number twice";
  EXPECT_FALSE(with(std::string("\x05\x7F", 2))) << "more than there are";
  EXPECT_FALSE(with(std::string("\x05\x01\x07\x00\x01\x80\x00", 7))) << "longer than it need be";
}

TEST(InboxStart, ReadsPositionsByName) {
  InboxStart start;
  EXPECT_EQ(start.add("since", "tea:12", "ann"), Refusal::None);
  EXPECT_EQ(start.add("since", "dm:ann:bob:7", "ann"), Refusal::None);
  EXPECT_EQ(start.add("since", "dm:zoe:8", "ann"), Refusal::None);
  EXPECT_EQ(start.add("epoch", "dm:zoe:9", "ann"), Refusal::None);
  EXPECT_EQ(start.since.at("dm:ann:zoe"), 8U);
  EXPECT_EQ(start.epochs.at("dm:ann:zoe"), Epoch{9});
  EXPECT_EQ(start.add("epoch", "tea:99", "ann"), Refusal::None);
  EXPECT_EQ(start.add("since", "last", "ann"), Refusal::None);
  EXPECT_EQ(start.add("something", "else", "ann"), Refusal::None);
  EXPECT_EQ(start.since.at("tea"), 12U);
  EXPECT_EQ(start.since.at("dm:ann:bob"), 7U);
  EXPECT_EQ(start.epochs.at("tea"), Epoch{99});
  EXPECT_EQ(start.rest.kind, StartPosition::Kind::SinceLast);
  for (const auto* bad : {"12", "tea:", ":5", "tea:x", "tea:-1", ""}) {
    EXPECT_EQ(start.add("since", bad, "ann"), Refusal::InvalidArgument) << bad;
  }
  EXPECT_EQ(start.add("last", "x", "ann"), Refusal::InvalidArgument);
  EXPECT_EQ(start.add("epoch", "99", "ann"), Refusal::OtherEpoch);
  EXPECT_EQ(start.add("cursor", "garbage", "ann"), Refusal::InvalidCursor);
  EXPECT_EQ(start.add("cursor", encode_inbox_cursor(sample()), "ann"), Refusal::None);
  EXPECT_TRUE(start.cursor);
}

}  // namespace
}  // namespace parley::chat
