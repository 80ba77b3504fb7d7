#include "broker/cluster/frame.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/bytes.hpp"

#include "tests/broker/cluster/local_node.hpp"

namespace parley::cluster {
namespace {

using test::frame_in;
using test::value_of;

constexpr std::size_t kBodyMax = 4096;

const std::string kNonce(kNonceSize, 'n');
const std::string kProof(kProofSize, 'p');

Introduction introduction() {
  return {.versions = {.min = 1, .max = 3},
          .node = {0x0102030405060708},
          .incarnation = 9,
          .slots = 256,
          .clock = {1'700'000'000'000},
          .frame_max = 4096,
          .window = 65'536,
          .nonce = kNonce,
          .cluster = "chat.example",
          .name = "node-a"};
}

/// Every type once, with the decoder of its body.
struct Sample {
  std::string name;
  std::string bytes;
  std::function<bool(std::string_view)> decodes;
};

std::vector<Sample> samples() {
  std::vector<Sample> all;
  const auto add = [&all](std::string name, auto&& append, auto&& decode) {
    std::string bytes;
    append(bytes);
    all.push_back(
        {std::move(name), std::move(bytes), [decode](std::string_view body) { return decode(body).has_value(); }});
  };
  add(
      "Hello", [](auto& to) { append_introduction(to, FrameType::Hello, introduction()); }, decode_introduction);
  add(
      "Challenge", [](auto& to) { append_introduction(to, FrameType::Challenge, introduction()); },
      decode_introduction);
  add(
      "Proof", [](auto& to) { append_proof(to, kProof); }, decode_proof);
  add(
      "Welcome", [](auto& to) { append_welcome(to, {.version = 2, .proof = kProof}); }, decode_welcome);
  add(
      "Refuse", [](auto& to) { append_refusal(to, {.code = RefuseCode::Slots, .sentence = "no"}); }, decode_refusal);
  add(
      "Heartbeat", [](auto& to) { append_heartbeat(to, {.sent = 1, .echo = 2, .held = 3}); }, decode_heartbeat);
  add(
      "Credit", [](auto& to) { append_credit(to, 15, 77); }, decode_credit);
  add(
      "Close", [](auto& to) { append_close(to, "bye"); }, decode_close);
  return all;
}

TEST(PeerFrame, IsExactlyTheseBytes) {
  std::string credit;
  append_credit(credit, 3, 0x01020304);
  EXPECT_EQ(credit, std::string("\0\0\0\x07\x08\0\x03\x01\x02\x03\x04", 11));
  std::string close;
  append_close(close, "bye");
  EXPECT_EQ(close, std::string("\0\0\0\x08\x09\0\0\0\x03"
                               "bye",
                               12));
  const auto header = frame_header(FrameType::Data, 15, 258);
  EXPECT_EQ(std::string(header.data(), header.size()), std::string("\0\0\x01\x05\x07\0\x0f", 7));
}

TEST(PeerFrame, ReadsBackWhatWasWritten) {
  std::string bytes;
  append_introduction(bytes, FrameType::Hello, introduction());
  const Frame frame = frame_in(bytes);
  EXPECT_EQ(frame.type, FrameType::Hello);
  EXPECT_EQ(frame.size, bytes.size());
  const auto read = value_of(decode_introduction(frame.body));
  EXPECT_EQ(read.versions.min, 1);
  EXPECT_EQ(read.versions.max, 3);
  EXPECT_EQ(read.node, introduction().node);
  EXPECT_EQ(read.incarnation, 9U);
  EXPECT_EQ(read.slots, 256U);
  EXPECT_EQ(read.clock, introduction().clock);
  EXPECT_EQ(read.frame_max, 4096U);
  EXPECT_EQ(read.window, 65'536U);
  EXPECT_EQ(read.nonce, kNonce);
  EXPECT_EQ(read.cluster, "chat.example");
  EXPECT_EQ(read.name, "node-a");

  std::string beat;
  append_heartbeat(beat, {.sent = 1, .echo = 2, .held = 3});
  const auto heartbeat = value_of(decode_heartbeat(frame_in(beat).body));
  EXPECT_EQ(heartbeat.sent, 1U);
  EXPECT_EQ(heartbeat.echo, 2U);
  EXPECT_EQ(heartbeat.held, 3U);
}

TEST(PeerFrame, CutsSentencesThatAreTooLong) {
  std::string bytes;
  append_refusal(bytes, {.code = RefuseCode::Secret, .sentence = std::string(5000, 'x')});
  const auto refusal = value_of(decode_refusal(frame_in(bytes).body));
  EXPECT_EQ(refusal.sentence.size(), kSentenceMax);
}

TEST(PeerFrame, WaitsForTheRestAtEveryTruncation) {
  for (const Sample& sample : samples()) {
    for (std::size_t size = 0; size < sample.bytes.size(); ++size) {
      const auto frame = next_frame(std::string_view(sample.bytes).substr(0, size), kBodyMax);
      ASSERT_TRUE(frame) << sample.name << " cut at " << size;
      EXPECT_FALSE(*frame) << sample.name << " cut at " << size;
    }
    EXPECT_EQ(frame_in(sample.bytes).size, sample.bytes.size()) << sample.name;
  }
}

TEST(PeerFrame, RefusesEveryTruncatedBody) {
  for (const Sample& sample : samples()) {
    const std::string_view body = frame_in(sample.bytes).body;
    EXPECT_TRUE(sample.decodes(body)) << sample.name;
    for (std::size_t size = 0; size < body.size(); ++size) {
      EXPECT_FALSE(sample.decodes(body.substr(0, size))) << sample.name << " cut at " << size;
    }
  }
}

TEST(PeerFrame, RefusesBytesBehindABody) {
  for (const Sample& sample : samples()) {
    const std::string body(frame_in(sample.bytes).body);
    // An introduction may be a newer version's, which has more to say.
    const bool open_ended = sample.name == "Hello" || sample.name == "Challenge";
    EXPECT_EQ(sample.decodes(body + "x"), open_ended) << sample.name;
  }
}

TEST(PeerFrame, SurvivesEveryFlippedBit) {
  for (const Sample& sample : samples()) {
    for (std::size_t bit = 0; bit < sample.bytes.size() * 8; ++bit) {
      std::string flipped = sample.bytes;
      flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << (bit % 8)));
      const auto frame = next_frame(flipped, kBodyMax);
      if (!frame || !*frame) continue;
      ASSERT_LE((*frame)->size, flipped.size());
      [[maybe_unused]] const bool decodes = sample.decodes((*frame)->body);
    }
  }
}

struct BadHeader {
  std::string bytes;
  FrameError error;
};

TEST(PeerFrame, JudgesTheHeaderBeforeTheBodyIsThere) {
  const std::vector<BadHeader> table{
      {std::string("\0\0\0\x02\x07\0\0", 7), FrameError::Malformed},  // shorter than its own header
      {std::string("\0\0\0\0\x07\0\0", 7), FrameError::Malformed},
      {std::string("\xff\xff\xff\xff\x07\0\0", 7), FrameError::TooLarge},
      {std::string("\0\0\x10\x04\x07\0\0", 7), FrameError::TooLarge},  // one more than allowed
      {std::string("\0\0\0\x03\x00\0\0", 7), FrameError::UnknownType},
      {std::string("\0\0\0\x03\x0a\0\0", 7), FrameError::UnknownType},
      {std::string("\0\0\0\x03\x07\0\x10", 7), FrameError::Malformed},  // channel 16
      {std::string("\0\0\0\x03\x07\xff\xff", 7), FrameError::Malformed},
      {std::string("\0\0\0\x03\x06\0\x01", 7), FrameError::Malformed},  // a heartbeat has no channel
      {"GET / HTTP/1.1\r\n", FrameError::TooLarge},
  };
  for (const BadHeader& bad : table) {
    const auto frame = next_frame(bad.bytes, kBodyMax);
    ASSERT_FALSE(frame);
    EXPECT_EQ(frame.error(), make_error_code(bad.error)) << frame.error().message();
  }
  EXPECT_TRUE(next_frame(std::string("\0\0\x10\x03\x07\0\0", 7), kBodyMax));  // exactly as long as allowed
}

struct BadIntroduction {
  const char* what;
  std::function<void(std::string& body)> spoil;
  FrameError error = FrameError::Malformed;
};

TEST(PeerFrame, RefusesIntroductionsOutOfRange) {
  const auto zero = [](std::size_t begin, std::size_t count) {
    return [begin, count](std::string& body) { body.replace(begin, count, std::string(count, '\0')); };
  };
  const std::vector<BadIntroduction> table{
      {"another magic", [](std::string& body) { body[0] = 'X'; }, FrameError::ForeignMagic},
      {"no version", zero(4, 2)},
      {"versions the wrong way round", [](std::string& body) { body[5] = 4; }},
      {"node 0", zero(8, 8)},
      {"incarnation 0", zero(16, 8)},
      {"no slots", zero(24, 4)},
      {"too many slots", [](std::string& body) { body[24] = 1; }},
      {"a clock before 1970", [](std::string& body) { body[28] = '\x80'; }},
      {"frames of nothing", zero(36, 4)},
      {"a window that no frame fits", [](std::string& body) { store_big_endian(&body[40], std::uint32_t{4096}); }},
      {"birth 0", [](std::string& body) { body.replace(body.size() - 8, 8, std::string(8, '\0')); }},
      {"no cluster name", [](std::string& body) { body.replace(76, 13, std::string(1, '\0')); }},
      {"no node name", [](std::string& body) { body.replace(89, 7, std::string(1, '\0')); }},
  };
  for (const BadIntroduction& bad : table) {
    std::string bytes;
    append_introduction(bytes, FrameType::Hello, introduction());
    std::string body(frame_in(bytes).body);
    bad.spoil(body);
    const auto read = decode_introduction(body);
    ASSERT_FALSE(read) << bad.what;
    EXPECT_EQ(read.error(), make_error_code(bad.error)) << bad.what;
  }
}

TEST(PeerVersion, IsTheHighestThatBothSpeak) {
  struct Case {
    VersionRange one, other;
    std::optional<std::uint16_t> common;
  };
  const std::vector<Case> table{{{1, 1}, {1, 1}, 1},
                                {{1, 2}, {1, 1}, 1},
                                {{1, 2}, {2, 3}, 2},
                                {{1, 4}, {2, 3}, 3},
                                {{1, 1}, {2, 3}, std::nullopt},
                                {{5, 9}, {2, 4}, std::nullopt}};
  for (const Case& c : table) EXPECT_EQ(common_version(c.one, c.other), c.common);
}

}  // namespace
}  // namespace parley::cluster
